"""What the router needs to know of a client's body. Everything else stays bytes."""

from typing import Any

import msgspec
from omni_wire.body import Body
from omni_wire.errors import InvalidRequest, NotBuilt, WireError
from omni_wire.formats import WireFormat

# No vendor's id is a quarter as long; ids are remembered, logged and shown, so they must not be of any size.
MAX_MODEL_ID = 512


class Request(msgspec.Struct, frozen=True):
    """``limit`` is the client's own bound on output tokens of one choice, 0 when it set none."""

    body: Body
    model: str
    stream: bool
    include_usage: bool
    limit: int
    choices: int


def read(client_format: WireFormat, raw: bytes) -> Request:
    """Open a client's body. Raises ``InvalidRequest`` naming the field, or ``NotBuilt`` for a surface still to come."""
    if client_format is not WireFormat.OPENAI_CHAT:
        raise NotBuilt(f"requests in {client_format} are not served yet; POST /v1/chat/completions is")
    try:
        body = Body(raw)
        return _read_chat(body)
    except WireError as error:
        raise InvalidRequest(str(error), param=error.field) from error


def _read_chat(body: Body) -> Request:
    model = body.get("model")
    if model is None or model == "":
        raise InvalidRequest("the request names no model", param="model", code="missing_model")
    if not isinstance(model, str):
        raise InvalidRequest("model must be a string", param="model")
    if len(model) > MAX_MODEL_ID:
        raise InvalidRequest(f"model is longer than {MAX_MODEL_ID} characters", param="model")
    if not body.is_filled_list("messages"):
        raise InvalidRequest("messages must be a list with at least one message", param="messages")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object", param="stream_options")
    limits = [_count(body, "max_completion_tokens"), _count(body, "max_tokens")]
    return Request(
        body=body,
        model=model,
        stream=_flag(body.get("stream"), "stream"),
        include_usage=options is not None and _flag(options.get("include_usage"), "stream_options.include_usage"),
        limit=min((limit for limit in limits if limit), default=0),
        choices=_count(body, "n") or 1,
    )


def _flag(value: Any, field: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{field} must be true or false", param=field)


def _count(body: Body, field: str) -> int:
    value = body.get(field)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"{field} must be a positive whole number", param=field)
    return value
