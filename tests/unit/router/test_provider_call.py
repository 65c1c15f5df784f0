"""Where a provider of each format is called, and what it is told of the client."""

import pytest
from omni_catalogue.snapshot import Account, Model, Provider
from omni_router.domain import provider_call
from omni_wire.formats import WireFormat

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE


def provider(wire_format: WireFormat, base: str = "https://api.example.com/") -> Provider:
    account = Account(id="p/a", name="a", secret_version="1")
    return Provider(id="p", format=wire_format, base_url=base, accounts=(account,), models=(Model(id="*"),))


def headers(wire_format: WireFormat, **changes: object) -> dict[str, str]:
    fields: dict[str, object] = {"stream": True, "request_id": "r", "traceparent": ""}
    return provider_call.headers(provider(wire_format), "secret", **(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wire_format", "stream", "framing", "path"),
    [
        (CHAT, True, "sse", "/chat/completions"),
        (RESPONSES, False, "sse", "/responses"),
        (MESSAGES, True, "sse", "/v1/messages"),
        (GEMINI, False, "sse", "/v1beta/models/m-1.5:generateContent"),
        (GEMINI, True, "sse", "/v1beta/models/m-1.5:streamGenerateContent?alt=sse"),
        (GEMINI, True, "array", "/v1beta/models/m-1.5:streamGenerateContent"),
    ],
)
def test_each_format_has_its_address(wire_format: WireFormat, stream: bool, framing: str, path: str) -> None:
    found = provider_call.url(provider(wire_format), "m-1.5", stream=stream, framing=framing)
    assert found == f"https://api.example.com{path}"


@pytest.mark.parametrize("model", ["../../secrets", "a/b", "a?key=x", "a#b", "ü b", "%2e%2e/x"])
def test_no_model_leads_to_another_path(model: str) -> None:
    for found in (
        provider_call.url(provider(GEMINI), model),
        provider_call.count_url(provider(GEMINI), model),
    ):
        name = found.removeprefix("https://api.example.com/v1beta/models/").rpartition(":")[0]
        assert not set(name) & set("/?#:. ") - {"."}
        assert found.isascii()


def test_two_can_count() -> None:
    assert provider_call.count_url(provider(MESSAGES), "m") == "https://api.example.com/v1/messages/count_tokens"
    assert provider_call.count_url(provider(GEMINI), "m") == "https://api.example.com/v1beta/models/m:countTokens"
    assert provider_call.count_url(provider(CHAT), "m") == provider_call.count_url(provider(RESPONSES), "m") == ""


@pytest.mark.parametrize(
    ("wire_format", "name", "value"),
    [
        (CHAT, "authorization", "Bearer secret"),
        (RESPONSES, "authorization", "Bearer secret"),
        (MESSAGES, "x-api-key", "secret"),
        (GEMINI, "x-goog-api-key", "secret"),
    ],
)
def test_the_secret_is_in_one_header(wire_format: WireFormat, name: str, value: str) -> None:
    found = headers(wire_format)
    assert found[name] == value
    assert sum("secret" in other for other in found.values()) == 1


def test_an_array_is_asked_for_as_json() -> None:
    assert headers(GEMINI)["accept"] == "text/event-stream"
    assert headers(GEMINI, framing="array")["accept"] == headers(GEMINI, stream=False)["accept"] == "application/json"


def test_of_a_clients_headers_only_versions_and_betas_are_handed_on() -> None:
    client = {"anthropic-beta": "a,b", "anthropic-version": "v9", "openai-beta": "o", "user-agent": "x", "cookie": "y"}
    found = headers(MESSAGES, client=client)
    assert (found["anthropic-beta"], found["anthropic-version"], found["user-agent"]) == ("a,b", "v9", "omniroute")
    assert "openai-beta" not in found
    assert "cookie" not in found
    assert headers(RESPONSES, client=client)["openai-beta"] == "o"
    assert headers(MESSAGES)["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("value", ["a\r\nx: y", "\x7f", "\u00a0", "beta-ü", ""])
def test_what_no_header_can_carry_is_left_out(value: str) -> None:
    assert "anthropic-beta" not in headers(MESSAGES, client={"anthropic-beta": value})
