"""One gateway a shape for the whole run, in front of one simulated provider, configured as documented."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from omni_simulator import Simulator
from openai import OpenAI

from tests.support.stack import Stack, running, simulator

KEY, ADMIN = "or-test-ci-0123456789", "or-test-admin-0123456789"

# The file of the documentation, but for the ports, one more key of each kind the tests need, and short timeouts.
CONFIG = """
server: {{host: 127.0.0.1, port: 20128, require_api_key: true}}
providers:
  - id: acme                        # model ids: acme/<model>
    format: openai.chat             # openai.chat | openai.responses | anthropic.messages | gemini.generate
    base_url: {base}/v1
    tier: api_key                   # subscription | api_key | cheap | free
    allow_private_address: true     # else loopback/private targets are refused
    accounts:
      - {{name: first, api_key: {{env: ACME_KEY}}}}     # every secret is {{env: …}}, {{file: …}} or {{value: …}}
    models:
      - {{id: "*"}}                   # pass any id through
      - {{id: gpt-x, price: {{input: 1.25, output: 10, cached_input: 0.125}}, context: 272000, max_output: 128000}}
      - {{id: "gpt-x+status:503", price: {{input: 1.25, output: 10}}}}
      - {{id: "gpt-x+latency:700", price: {{input: 1.25, output: 10}}}}
  - {{id: claude, format: anthropic.messages, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*", price: {{input: 3, output: 15}}}}]}}
  - {{id: google, format: gemini.generate, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: resp, format: openai.responses, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
combos:
  - {{name: always-on, strategy: fill-first, targets: [acme/gpt-x, claude/claude-x]}}
  - {{name: falls-back, strategy: fill-first, targets: ["acme/gpt-x+status:503", claude/claude-x]}}
keys:
  - {{name: ci, secret: {{env: OMNIROUTE_KEY}}, models: ["*"]}}
  - {{name: boss, secret: {{env: ADMIN_KEY}}, role: admin}}
  - {{name: mixed, secret: {{value: or-test-mixed-0123456789}}}}
  - {{name: slow, secret: {{value: or-test-slow-0123456789}}, limits: {{requests_per_minute: 3}}}}
  - {{name: spent, secret: {{value: or-test-spent-0123456789}}, budget: {{usd: 0.000001, window: month}}}}
  - {{name: held, secret: {{value: or-test-held-0123456789}}, budget: {{usd: 0.002, window: month}}}}
  - {{name: narrow, secret: {{value: or-test-narrow-0123456789}}, models: ["acme/*"]}}
routing: {{retries: 0, breaker: off, cache: off, timeouts: {{connect: 2, first_byte: 1.5, idle: 1.5, total: 2}}}}
"""


@dataclass
class Gateway:
    stack: Stack
    provider: Simulator

    def client(self, key: str = KEY) -> OpenAI:
        return OpenAI(base_url=self.stack.openai, api_key=key, max_retries=0, timeout=30)


@pytest.fixture(scope="session", params=["all", "separate"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp(request.param)
    env = {"ACME_KEY": "provider-secret-acme", "OMNIROUTE_KEY": KEY, "ADMIN_KEY": ADMIN}
    with simulator() as provider, running(request.param, home, CONFIG.format(base=provider.url), env) as stack:
        yield Gateway(stack, provider)
