"""The list of models, and one of it, as each dialect's clients read them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from omni_core.ports.router import ModelEntry
from omni_wire.errors import InvalidRequest
from omni_wire.formats import WireFormat

Shown = dict[str, Any]

_MOST = 1000  # entries a page; more is taken for this many (ai.google.dev/api/models)


def model_list(entries: Sequence[ModelEntry], dialect: WireFormat, query: Mapping[str, str]) -> Shown:
    """Anthropic's and Google's clients may ask for pages (``query``); who does not gets
    all in one, which their SDKs take for the last. Raises ``InvalidRequest``."""
    if dialect is WireFormat.OLLAMA_CHAT:
        return {"models": [_ollama(entry) for entry in entries]}
    if dialect is WireFormat.ANTHROPIC_MESSAGES:
        return _anthropic_page(entries, query)
    if dialect is WireFormat.GEMINI_GENERATE:
        return _google_page(entries, query)
    return {"object": "list", "data": [model_object(entry, dialect) for entry in entries]}


def model_object(entry: ModelEntry, dialect: WireFormat) -> Shown:
    """Sizes are added where they are known."""
    if dialect is WireFormat.ANTHROPIC_MESSAGES:
        return _anthropic(entry)
    if dialect is WireFormat.GEMINI_GENERATE:
        return _google(entry)
    shown: Shown = {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by}
    if entry.context_length:
        shown["context_length"] = entry.context_length
    if entry.max_output:
        shown["max_output_tokens"] = entry.max_output
    return shown


def _anthropic(entry: ModelEntry) -> Shown:
    """ModelInfo (platform.claude.com/docs/en/api/models-list): a date that is not known is the epoch."""
    return {
        "type": "model",
        "id": entry.id,
        "display_name": entry.id,
        "created_at": _date(entry.created),
        "lifecycle": "active",
        "max_input_tokens": entry.context_length or None,
        "max_tokens": entry.max_output or None,
    }


def _google(entry: ModelEntry) -> Shown:
    """Model (ai.google.dev/api/models): its name is what stands in a path."""
    shown: Shown = {
        "name": f"models/{entry.id}",
        "version": "",
        "displayName": entry.id,
        "description": f"{entry.id} of {entry.owned_by}",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }
    if entry.context_length:
        shown["inputTokenLimit"] = entry.context_length
    if entry.max_output:
        shown["outputTokenLimit"] = entry.max_output
    return shown


def _ollama(entry: ModelEntry) -> Shown:
    """A line of /api/tags (docs.ollama.com/api/tags). There is no file here that could have a size or a digest."""
    details = {
        "parent_model": "", "format": "", "family": entry.owned_by, "families": [entry.owned_by],
        "parameter_size": "", "quantization_level": "",
    }  # fmt: skip
    return {
        "name": entry.id, "model": entry.id, "modified_at": _date(entry.created), "size": 0, "digest": "",
        "details": details,
    }  # fmt: skip


def _anthropic_page(entries: Sequence[ModelEntry], query: Mapping[str, str]) -> Shown:
    """``limit`` of those behind ``after_id``, or of those right before ``before_id``."""
    limit = _count(query, "limit")
    if "before_id" in query:
        rest = entries[: _place(entries, "before_id", query["before_id"])]
        page = rest[-limit:] if limit else rest
    else:
        rest = entries[_place(entries, "after_id", query["after_id"]) + 1 :] if "after_id" in query else entries
        page = rest[: limit or None]
    return {
        "data": [_anthropic(entry) for entry in page],
        "has_more": len(page) < len(rest),
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _google_page(entries: Sequence[ModelEntry], query: Mapping[str, str]) -> Shown:
    """``pageSize`` of those behind ``pageToken``, which is the last name of the page before."""
    size = _count(query, "pageSize")
    token = query.get("pageToken", "")
    rest = entries[_place(entries, "pageToken", token) + 1 :] if token else entries
    page = rest[: size or None]
    shown: Shown = {"models": [_google(entry) for entry in page]}
    if len(page) < len(rest):
        shown["nextPageToken"] = page[-1].id
    return shown


def _count(query: Mapping[str, str], name: str) -> int:
    """0 where nothing is asked for."""
    text = query.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidRequest(f"{name} must be a whole number.", param=name)
    return min(int(text), _MOST)


def _place(entries: Sequence[ModelEntry], name: str, model_id: str) -> int:
    for place, entry in enumerate(entries):
        if entry.id == model_id:
            return place
    raise InvalidRequest(f"{name} is not the id of a model in this list.", param=name)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
