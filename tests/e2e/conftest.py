"""One gateway a shape for the whole run, in front of one simulated provider, configured as documented."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import ollama
import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types
from omni_simulator import Simulator
from openai import OpenAI

from tests.support.stack import Stack, running, simulator

KEY, ADMIN = "or-test-ci-0123456789", "or-test-admin-0123456789"

# The file of the documentation, but for the ports, one more key of each kind the tests need, and short timeouts.
CONFIG = """
server: {{host: 127.0.0.1, port: 20128, require_api_key: true, trusted_proxies: [127.0.0.1]}}
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
  - {{id: streams, format: openai.chat, base_url: "{base}/v1", allow_private_address: true, streaming: only,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: wholes, format: anthropic.messages, base_url: "{base}", allow_private_address: true, streaming: never,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: cloud, format: cloudcode.generate, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}, project: my-project}}], models: [{{id: "*"}}]}}
  - {{id: cursor, format: cursor.chat, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: bedrock, format: bedrock.converse, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: "AKIDEXAMPLE0000000:secret@eu-west-1"}}}}], models: [{{id: "*"}}]}}
  - {{id: kiro, format: kiro.conversation, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: local, format: ollama.chat, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
  - {{id: command, format: cohere.chat, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*"}}]}}
combos:
  - {{name: always-on, strategy: fill-first, targets: [acme/gpt-x, claude/claude-x]}}
  - {{name: falls-back, strategy: fill-first, targets: ["acme/gpt-x+status:503", claude/claude-x]}}
keys:
  - {{name: ci, secret: {{env: OMNIROUTE_KEY}}, models: ["*"]}}
  - {{name: boss, secret: {{env: ADMIN_KEY}}, role: admin}}
  - {{name: mixed, secret: {{value: or-test-mixed-0123456789}}}}
  - {{name: booked, secret: {{value: or-test-booked-0123456789}}, budget: {{usd: 100, window: month}}}}
  - {{name: slow, secret: {{value: or-test-slow-0123456789}}, limits: {{requests_per_minute: 3}}}}
  - {{name: spent, secret: {{value: or-test-spent-0123456789}}, budget: {{usd: 0.000001, window: month}}}}
  - {{name: held, secret: {{value: or-test-held-0123456789}}, budget: {{usd: 0.002, window: month}}}}
  - {{name: several, secret: {{value: or-test-several-0123456789}}, budget: {{usd: 0.002, window: month}}}}
  - {{name: ruled, secret: {{value: or-test-ruled-0123456789}},
     rules: {{think_tags: on, sanitize: on, system_prompt: {{prefix: "House rule: be kind.", skippable: on}}}}}}
  - {{name: guarded, secret: {{value: or-test-guarded-0123456789}},
     rules: {{guards: {{pii: {{request: mask, answer: mask, restore: on}}, injection: block}}}}}}
  - {{name: early, secret: {{value: or-test-early-0123456789}}, rules: {{keep_alive: 0.2}}}}
  - {{name: scoped, secret: {{value: or-test-scoped-0123456789}}, providers: [claude], endpoints: [chat, models]}}
  - {{name: elsewhere, secret: {{value: or-test-elsewhere-0123456789}}, ips: [192.0.2.0/24]}}
  - {{name: over, secret: {{value: or-test-over-0123456789}}, expires: 2001-01-01}}
  - {{name: narrow, secret: {{value: or-test-narrow-0123456789}}, models: ["acme/*"]}}
  - {{name: kept, secret: {{value: or-test-kept-0123456789}}}}
  - {{name: shy, secret: {{value: or-test-shy-0123456789}}, no_bodies: true}}
bodies: {{keys: [kept, shy], combos: [always-on], keep: 1d, most_bytes: 4096}}
routing: {{retries: 0, breaker: off, cache: off, timeouts: {{connect: 2, first_byte: 1.5, idle: 1.5, total: 2}}}}
"""


# The SDK clients of the test that runs. One that is left to the collector has its socket told of in another test.
_opened = ExitStack()


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    _opened.close()


@dataclass
class Gateway:
    """A running stack, the provider behind it, and official SDKs as its clients, closed with the test."""

    stack: Stack
    provider: Simulator

    def client(self, key: str = KEY) -> OpenAI:
        return _opened.enter_context(OpenAI(base_url=self.stack.openai, api_key=key, max_retries=0, timeout=30))

    def anthropic(self, key: str = KEY) -> Anthropic:
        return _opened.enter_context(Anthropic(base_url=self.stack.edge, api_key=key, max_retries=0, timeout=30))

    def google(self, key: str = KEY) -> genai.Client:
        options = types.HttpOptions(base_url=self.stack.edge, timeout=30_000)
        return _opened.enter_context(closing(genai.Client(api_key=key, http_options=options)))

    def ollama(self, key: str = KEY) -> ollama.Client:
        headers = {"authorization": f"Bearer {key}"}
        return _opened.enter_context(ollama.Client(host=self.stack.edge, headers=headers, timeout=30))


@pytest.fixture(scope="session", params=["all", "separate"], ids="gateway-{}".format)  # see tests/support/dividing.py
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp(request.param)
    env = {"ACME_KEY": "provider-secret-acme", "OMNIROUTE_KEY": KEY, "ADMIN_KEY": ADMIN}
    with simulator() as provider, running(request.param, home, CONFIG.format(base=provider.url), env) as stack:
        yield Gateway(stack, provider)
