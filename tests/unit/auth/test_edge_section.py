"""``server:`` of the configuration: what is taken, and what is told of what is not."""

from pathlib import Path

import pytest
from omni_auth.domain import document, schema
from omni_catalogue.guard import Guard

TAKEN = """
server:
  trusted_header: forwarded
  hosts: [AI.example.org., "*.example.net", localhost]
  addresses: {mode: allow, networks: [10.0.0.0/8, 2001:db8::1]}
  bans: [{network: 192.0.2.1, until: 2030-01-01, reason: scanner}, {network: 198.51.100.0/24}]
  guard: {requests: 600, failures: off, connections: 0}
  cors: {origins: ["https://app.example.org", "http://localhost:3000"], headers: [X-Own], credentials: on}
"""


def told(text: str) -> list[str]:
    _, problems = schema.validate(document.read(text).tree)
    return [str(problem.message) for problem in problems]


def test_what_is_said_is_what_is_published() -> None:
    config, problems = schema.validate(document.read(TAKEN).tree)
    assert not problems
    assert config is not None
    assert config.server.hosts == ("ai.example.org", "*.example.net", "localhost")
    assert [(ban.network, ban.until) for ban in config.server.bans] == [
        ("192.0.2.1/32", 1_893_456_000), ("198.51.100.0/24", 0),
    ]  # fmt: skip
    assert Guard(**config.server.guard.model_dump()) == Guard(requests=600, failures=0)
    assert config.server.cors.headers == ("x-own",)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("addresses: {mode: allow}", "lets nobody in"),
        ("addresses: {mode: both, networks: [10.0.0.0/8]}", "must be one of allow, block"),
        ("bans: [{until: 2030-01-01}]", "is required"),
        ("bans: [{network: 10.0.0.1/8}]", "without bits of a host"),
        ("hosts: ['https://a.example']", "must be a host's name"),
        ("hosts: ['a.example:443']", "without a port"),
        ("guard: {requests: -1}", "or off"),
        ("guard: {requests: many}", "or off"),
        ("cors: {origins: ['*'], credentials: on}", "any page could act"),
        ("cors: {origins: ['https://a.example/path']}", "must be an origin"),
        ("cors: {origins: ['https://a b']}", "must be an origin"),
        ("cors: {headers: ['x y']}", "must be a header's name"),
        ("trusted_header: x-real-ip", "must be one of x-forwarded-for, forwarded"),
    ],
)
def test_what_cannot_be_meant_is_told(wrong: str, words: str) -> None:
    assert any(words in message for message in told(f"server:\n  {wrong}\n")), told(f"server:\n  {wrong}\n")


def test_the_example_of_the_manual_is_taken() -> None:
    manual = (Path(__file__).resolve().parents[3] / "docs/operations.md").read_text()
    example = manual.partition("## Who may come")[2].partition("```yaml\n")[2].partition("```")[0]
    assert "trusted_header" in example
    assert told(example) == []
