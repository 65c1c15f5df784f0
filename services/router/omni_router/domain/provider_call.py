"""How a provider of each wire format is called: where, and with which headers."""

from collections.abc import Mapping
from urllib.parse import quote

from omni_catalogue.snapshot import Provider
from omni_wire.errors import NotBuilt
from omni_wire.formats import WireFormat

# The version every Anthropic client sends (docs.anthropic.com/en/api/versioning).
_ANTHROPIC_VERSION = "2023-06-01"
# What a client may tell a provider of its own format beside the body: which version of it, and which previews.
_OF_THE_CLIENT = {
    WireFormat.OPENAI_CHAT: ("openai-beta",),
    WireFormat.OPENAI_RESPONSES: ("openai-beta",),
    WireFormat.ANTHROPIC_MESSAGES: ("anthropic-version", "anthropic-beta"),
}
_PLAIN = {
    WireFormat.OPENAI_CHAT: "/chat/completions",
    WireFormat.OPENAI_RESPONSES: "/responses",
    WireFormat.ANTHROPIC_MESSAGES: "/v1/messages",
}


def url(provider: Provider, model: str = "", *, stream: bool = False, framing: str = "sse") -> str:
    """The address of a completion. Base URLs are what each vendor's own SDK takes: OpenAI's with its version,
    Anthropic's and Google's without."""
    base = provider.base_url.rstrip("/")
    path = _PLAIN.get(provider.format)
    if path is not None:
        return base + path
    if provider.format is WireFormat.GEMINI_GENERATE:
        if not stream:
            return _gemini(base, model, "generateContent")
        return _gemini(base, model, "streamGenerateContent") + ("" if framing == "array" else "?alt=sse")
    raise NotBuilt(f"providers that speak {provider.format} are not served yet ({provider.id})")


def count_url(provider: Provider, model: str) -> str:
    """Where the provider counts the tokens of a request; empty when it cannot, or not for nothing."""
    base = provider.base_url.rstrip("/")
    if provider.format is WireFormat.ANTHROPIC_MESSAGES:
        return f"{base}/v1/messages/count_tokens"
    if provider.format is WireFormat.GEMINI_GENERATE:
        return _gemini(base, model, "countTokens")
    return ""


def headers(
    provider: Provider,
    secret: str,
    *,
    stream: bool,
    request_id: str,
    traceparent: str,
    framing: str = "sse",
    client: Mapping[str, str] = {},
) -> dict[str, str]:
    """Headers of a call; the client's own credentials never come here. ``secret`` is empty where none is needed.

    ``client`` are the headers of a client of the provider's own format, of which a few are handed on.
    """
    result = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream and framing == "sse" else "application/json",
        "accept-encoding": "identity",
        "user-agent": "omniroute",
        "x-request-id": request_id,
    }
    if traceparent:
        result["traceparent"] = traceparent
    if provider.format is WireFormat.ANTHROPIC_MESSAGES:
        if secret:
            result["x-api-key"] = secret
        result["anthropic-version"] = _ANTHROPIC_VERSION
    elif provider.format is WireFormat.GEMINI_GENERATE:
        if secret:
            result["x-goog-api-key"] = secret
    elif secret:
        result["authorization"] = f"Bearer {secret}"
    if client:
        for name in _OF_THE_CLIENT.get(provider.format, ()):
            value = client.get(name, "")
            if value and value.isascii() and value.isprintable():  # or it could not be sent, and look like our doing
                result[name] = value
    return result


def _gemini(base: str, model: str, verb: str) -> str:
    # Everything is escaped, so that no model id can lead to another path.
    return f"{base}/v1beta/models/{quote(model, safe='')}:{verb}"
