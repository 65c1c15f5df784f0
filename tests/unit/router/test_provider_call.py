"""Where a provider of each format is called, and what it is told of the client."""

import pytest
from omni_catalogue.snapshot import Account, Model, Provider
from omni_router.domain import provider_call
from omni_wire.formats import WireFormat

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
CLOUDCODE, CURSOR = WireFormat.CLOUDCODE_GENERATE, WireFormat.CURSOR_CHAT
BEDROCK, KIRO = WireFormat.BEDROCK_CONVERSE, WireFormat.KIRO_CONVERSATION


def provider(wire_format: WireFormat, base: str = "https://api.example.com/") -> Provider:
    account = Account(id="p/a", name="a", secret_version="1")
    return Provider(id="p", format=wire_format, base_url=base, accounts=(account,), models=(Model(id="*"),))


def headers(wire_format: WireFormat, **changes: object) -> dict[str, str]:
    how = {"stream": True} | {name: changes.pop(name) for name in ("stream", "framing") if name in changes}
    fixed = provider_call.fixed_headers(provider(wire_format), **how)  # type: ignore[arg-type]
    return provider_call.headers(provider(wire_format), "secret", fixed, request_id="r", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wire_format", "stream", "framing", "path"),
    [
        (CHAT, True, "sse", "/chat/completions"),
        (RESPONSES, False, "sse", "/responses"),
        (MESSAGES, True, "sse", "/v1/messages"),
        (GEMINI, False, "sse", "/v1beta/models/m-1.5:generateContent"),
        (GEMINI, True, "sse", "/v1beta/models/m-1.5:streamGenerateContent?alt=sse"),
        (GEMINI, True, "array", "/v1beta/models/m-1.5:streamGenerateContent"),
        (CLOUDCODE, False, "sse", "/v1internal:generateContent"),
        (CLOUDCODE, True, "sse", "/v1internal:streamGenerateContent?alt=sse"),
        (CURSOR, True, "sse", "/aiserver.v1.ChatService/StreamUnifiedChatWithTools"),
        (BEDROCK, False, "sse", "/model/m-1.5/converse"),
        (BEDROCK, True, "sse", "/model/m-1.5/converse-stream"),
        (KIRO, True, "sse", "/generateAssistantResponse"),
        (WireFormat.OLLAMA_CHAT, True, "lines", "/api/chat"),
        (WireFormat.COHERE_CHAT, True, "sse", "/v2/chat"),
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


def test_some_formats_have_a_count() -> None:
    assert provider_call.count_url(provider(MESSAGES), "m") == "https://api.example.com/v1/messages/count_tokens"
    assert provider_call.count_url(provider(GEMINI), "m") == "https://api.example.com/v1beta/models/m:countTokens"
    assert provider_call.count_url(provider(CLOUDCODE), "m") == "https://api.example.com/v1internal:countTokens"
    assert provider_call.count_url(provider(BEDROCK), "a/m") == "https://api.example.com/model/a%2Fm/count-tokens"
    assert provider_call.count_url(provider(RESPONSES), "m") == "https://api.example.com/responses/input_tokens"
    assert provider_call.count_url(provider(CHAT), "m") == ""


@pytest.mark.parametrize(
    ("wire_format", "name", "value"),
    [
        (CHAT, "authorization", "Bearer secret"),
        (RESPONSES, "authorization", "Bearer secret"),
        (MESSAGES, "x-api-key", "secret"),
        (WireFormat.OLLAMA_CHAT, "authorization", "Bearer secret"),
        (WireFormat.COHERE_CHAT, "authorization", "Bearer secret"),
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


def test_cursor_only_streams_and_is_sent_frames() -> None:
    assert provider_call.streams_only(provider(CURSOR))
    assert not provider_call.streams_only(provider(CLOUDCODE))
    sent = headers(CURSOR)
    assert sent["content-type"] == sent["accept"] == "application/connect+proto"
    assert sent["connect-protocol-version"] == "1"


def test_nobody_elses_client_is_posed_as() -> None:
    for wire_format in (CLOUDCODE, CURSOR):
        sent = headers(wire_format)
        assert sent["user-agent"] == "omniroute"
        assert not any(name.startswith(("x-cursor", "x-goog", "x-client")) for name in sent)


def test_a_model_on_bedrock_leads_to_no_other_path() -> None:
    for model in ("../../secrets", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x", "a?key=x"):
        name = provider_call.url(provider(BEDROCK), model).removeprefix("https://api.example.com/model/")
        assert not set(name.removesuffix("/converse")) & set("/?#: ")


@pytest.mark.parametrize("wire_format", [BEDROCK, KIRO])
def test_an_aws_provider_is_asked_for_an_event_stream_with_a_bearer_key(wire_format: WireFormat) -> None:
    call = provider_call.Call("https://bedrock-runtime.eu-west-1.amazonaws.com/x", b"{}", 1440938160)
    found = headers(wire_format, call=call)
    assert found["accept"] == "application/vnd.amazon.eventstream"
    assert found["authorization"] == "Bearer secret"
    assert provider_call.stream_type(provider(wire_format), "sse") == "application/vnd.amazon.eventstream"


def test_an_access_key_signs_and_is_not_sent() -> None:
    call = provider_call.Call("https://bedrock-runtime.eu-west-1.amazonaws.com/x", b"{}", 1440938160)
    secret = "AKIDEXAMPLE0000000:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    spoken = provider(BEDROCK)
    fixed = provider_call.fixed_headers(spoken, stream=True)
    found = provider_call.headers(spoken, secret, fixed, request_id="r", call=call)
    assert "wJalrXUtnFEMI" not in str(found)
    assert "/20150830/eu-west-1/bedrock/aws4_request" in found["authorization"]


def test_kiro_streams_only_and_is_told_of_no_other_client() -> None:
    assert provider_call.streams_only(provider(KIRO))
    assert not provider_call.streams_only(provider(BEDROCK))
    found = headers(KIRO)
    assert found["user-agent"] == "omniroute"
    assert not [name for name in found if name.startswith(("x-amzn-kiro", "x-amz-user-agent"))]
