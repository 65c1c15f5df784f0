"""What a relayed body must say differently from what the client wrote. Everything else stays its very bytes.

Between equal formats these are all the edits there are: the provider's own model id (not in a Gemini body, whose path
says it), usage on Chat streams (the other formats always tell it), and the output limit where a budget bounds it. What
differs from one of these by its case only is left out.
"""

from collections.abc import Mapping

import msgspec
from omni_catalogue.dialects import chat_output_limit_field
from omni_catalogue.snapshot import Model, Provider
from omni_wire.body import Body
from omni_wire.formats import WireFormat

from omni_router.domain.pricing import BILLED_APART
from omni_router.domain.request import Request, nested, warms

# Never edited, but gone by: reserved for, or asked for, or refused under a budget or to a key with a list of models.
_HEEDED = frozenset(("n", "best_of", "stream", *BILLED_APART))
_IN_ANY_CASE = frozenset(name.casefold() for name in _HEEDED)


def relayed(request: Request, provider: Provider, model: Model, clamp: int, more: Mapping[str, object] = {}) -> bytes:
    """The body for a provider that speaks the client's format; ``clamp`` is the output limit that was reserved, in
    tokens, 0 for none; ``more`` are further edits. Under a clamp a field that came twice stands once, so that the one
    that was read counts."""
    edits = _EDITS[provider.format](request, provider, model, clamp)
    edits |= more
    if clones := _clones(request.body, edits):
        edits |= dict.fromkeys(clones)
    return request.body.with_fields(edits, rewrite=clamp > 0)


def _clones(body: Body, edits: Mapping[str, object]) -> list[str]:
    """Fields that a provider written in Go would take for one that is ours to say: encoding/json finds a field in any
    case, and of several the last one counts, which would be the client's."""
    ours = {name.casefold() for name in edits} | _IN_ANY_CASE
    others = [name for name in body.names if name not in edits and name not in _HEEDED]
    return [name for name in others if name.casefold() in ours]


def _chat(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
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


def _responses(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
    return {"model": model.id, "max_output_tokens": clamp} if clamp else {"model": model.id}


def _messages(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
    limited = clamp and not warms(request.body)
    return {"model": model.id, "max_tokens": clamp} if limited else {"model": model.id}


def _gemini(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
    body = request.body
    edits: dict[str, object] = {}
    if body.has("model"):  # Google allows it beside the path, if they agree
        edits["model"] = f"models/{model.id}"
    if clamp:
        configs = [name for name in ("generationConfig", "generation_config") if nested(body, name) is not None]
        for name in configs or ["generationConfig"]:
            edits[name] = _limited(body.raw(name), clamp)
    return edits


def _ollama(request: Request, provider: Provider, model: Model, clamp: int) -> dict[str, object]:
    edits: dict[str, object] = {"model": model.id}
    if clamp:
        options = request.body.raw("options")
        opened = Body(options if options and options != b"null" else b"{}")
        edits["options"] = msgspec.Raw(opened.with_fields({"num_predict": clamp}, rewrite=True))
    return edits


def _limited(config: bytes, clamp: int) -> msgspec.Raw:
    """A ``generationConfig`` with its limit set, in the spelling it had, and every other field's bytes kept."""
    opened = Body(config if config and config != b"null" else b"{}")
    names = [name for name in ("maxOutputTokens", "max_output_tokens") if opened.has(name)]
    limits: dict[str, object] = dict.fromkeys(names or ["maxOutputTokens"], clamp)
    return msgspec.Raw(opened.with_fields(limits, rewrite=True))


_EDITS = {
    WireFormat.OPENAI_CHAT: _chat,
    WireFormat.OPENAI_RESPONSES: _responses,
    WireFormat.ANTHROPIC_MESSAGES: _messages,
    WireFormat.GEMINI_GENERATE: _gemini,
    WireFormat.OLLAMA_CHAT: _ollama,
}
