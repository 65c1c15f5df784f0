"""How a provider of each wire format is called: where, and with which headers."""

from omni_catalogue.snapshot import Provider
from omni_wire.errors import NotBuilt
from omni_wire.formats import WireFormat

# The version every Anthropic client sends (docs.anthropic.com/en/api/versioning).
_ANTHROPIC_VERSION = "2023-06-01"


def url(provider: Provider) -> str:
    """The address of a completion. Base URLs are what each vendor's own SDK takes."""
    base = provider.base_url.rstrip("/")
    if provider.format is WireFormat.OPENAI_CHAT:
        return f"{base}/chat/completions"
    if provider.format is WireFormat.ANTHROPIC_MESSAGES:
        return f"{base}/v1/messages"
    raise NotBuilt(f"providers that speak {provider.format} are not served yet ({provider.id})")


def headers(provider: Provider, secret: str, *, stream: bool, request_id: str, traceparent: str) -> dict[str, str]:
    """Headers of a call; the client's own credentials never come here. ``secret`` is empty where none is needed."""
    result = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
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
    elif secret:
        result["authorization"] = f"Bearer {secret}"
    return result
