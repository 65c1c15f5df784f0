"""What a relayed Chat body must say differently from what the client wrote. Everything else stays its very bytes."""

from omni_catalogue.dialects import chat_output_limit_field
from omni_catalogue.snapshot import Model, Provider

from omni_router.domain.request import Request


def chat_edits(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
    """Fields to set, None to remove: the provider's own model id, usage on streams, and, when ``clamp`` is not 0, the
    output limit that was reserved, in the field the client used, else in the one the provider knows."""
    body = request.body
    edits: dict[str, object] = {"model": model.id}
    if clamp:
        if body.get("max_completion_tokens") is not None:
            field = "max_completion_tokens"
        elif body.get("max_tokens") is not None:
            field = "max_tokens"
        else:
            field = chat_output_limit_field(model.id, provider.base_url)
        other = "max_tokens" if field == "max_completion_tokens" else "max_completion_tokens"
        edits |= {field: clamp, other: None}
    if request.stream and not request.include_usage:
        edits["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return edits
