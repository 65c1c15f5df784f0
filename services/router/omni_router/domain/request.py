"""What the router needs to know of a client's body, whichever dialect it is in. Everything else stays bytes."""

from collections.abc import Callable
from typing import Any

import msgspec
from omni_wire.body import Body
from omni_wire.errors import InvalidRequest, NotBuilt, WireError
from omni_wire.formats import WireFormat

# No vendor's id is a quarter as long; ids are remembered, logged and shown, so they must not be of any size.
MAX_MODEL_ID = 512


class Request(msgspec.Struct, frozen=True):
    """``limit`` is the client's own bound on output tokens of one choice, 0 when it set none; ``choices`` is how many
    answers a provider may write for it (vLLM's ``best_of`` writes more than it tells). ``include_usage`` is
    whether the client wants usage on its stream; only a Chat client can say no. ``framing`` is that of its stream."""

    body: Body
    model: str
    stream: bool
    include_usage: bool
    limit: int
    choices: int
    framing: str = "sse"


def read(
    client_format: WireFormat, raw: bytes, *, model: str = "", stream: bool = False, framing: str = "sse"
) -> Request:
    """Open a client's body. ``model`` and ``stream`` are what its path says, where the body does not.

    Raises ``InvalidRequest`` naming the field, or ``NotBuilt`` for a dialect still to come.
    """
    reader = _READERS.get(client_format)
    if reader is None:
        raise NotBuilt(f"requests in {client_format} are not served yet")
    try:
        return reader(Body(raw), model, stream, framing)
    except WireError as error:
        raise InvalidRequest(str(error), param=error.field) from error


def read_model(client_format: WireFormat, raw: bytes, model: str) -> tuple[Body, str]:
    """The body of a request to count, and the model it names. Raises ``InvalidRequest``."""
    try:
        body = Body(raw)
        return body, _known_model(model) if model else _model(body)
    except WireError as error:
        raise InvalidRequest(str(error), param=error.field) from error


def _read_chat(body: Body, path_model: str, path_stream: bool, framing: str) -> Request:
    if not body.is_filled_list("messages"):
        raise _no_turns(body, "messages", "messages must be a list with at least one message")
    model = _model(body)
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
        choices=max(_count(body, "n"), _count(body, "best_of"), 1),
    )


# What stands for a conversation that the provider keeps.
_STORED = ("previous_response_id", "conversation", "prompt")


def _read_responses(body: Body, path_model: str, path_stream: bool, framing: str) -> Request:
    if not body.is_filled_list("input"):
        said = body.get("input")
        if not (isinstance(said, str) and said) and not (not said and any(map(body.get, _STORED))):
            raise _no_turns(body, "input", "input must be a text, or a list with at least one item")
    model = _model(body)
    if _flag(body.get("background"), "background"):
        raise InvalidRequest(
            "answers in the background cannot be fetched through this gateway; ask for a stream", param="background"
        )
    return Request(
        body=body,
        model=model,
        stream=_flag(body.get("stream"), "stream"),
        include_usage=True,
        limit=_count(body, "max_output_tokens"),
        choices=1,
    )


def _read_messages(body: Body, path_model: str, path_stream: bool, framing: str) -> Request:
    if not body.is_filled_list("messages"):
        raise _no_turns(body, "messages", "messages must be a list with at least one message")
    model = _model(body)
    return Request(
        body=body,
        model=model,
        stream=_flag(body.get("stream"), "stream"),
        include_usage=True,
        limit=1 if warms(body) else _count(body, "max_tokens"),
        choices=1,
    )


def warms(body: Body) -> bool:
    """Whether a Messages request is only to fill the prompt cache: its limit is 0 (Anthropic's "pre-warming")."""
    limit = body.get("max_tokens")
    return type(limit) is int and limit == 0


def _read_gemini(body: Body, path_model: str, path_stream: bool, framing: str) -> Request:
    if not body.is_filled_list("contents") and not body.raw("contents").startswith(b"{"):  # one without its list
        raise _no_turns(body, "contents", "contents must be a list with at least one content")
    limits, choices = [0], 1
    for name in ("generationConfig", "generation_config"):  # Google takes both spellings of every field
        config = nested(body, name)
        if config is None:
            continue
        limits += [_count(config, field, within=name, text=True) for field in ("maxOutputTokens", "max_output_tokens")]
        asked = [_count(config, field, within=name, text=True) for field in ("candidateCount", "candidate_count")]
        choices = max(choices, *asked)
    return Request(
        body=body,
        model=_known_model(path_model) if path_model else _model(body).removeprefix("models/"),
        stream=path_stream,
        include_usage=True,
        limit=min((limit for limit in limits if limit), default=0),
        choices=choices,
        framing=framing,
    )


def _read_ollama(body: Body, path_model: str, path_stream: bool, framing: str) -> Request:
    model = _model(body)
    if not body.is_filled_list("messages"):
        raise InvalidRequest("messages must be a list with at least one message", param="messages")
    options = nested(body, "options")
    limit = options.get("num_predict") if options is not None else None
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise InvalidRequest("options.num_predict must be a whole number", param="options.num_predict")
    stream = body.get("stream")
    return Request(
        body=body,
        model=model,
        stream=stream is None or _flag(stream, "stream"),  # unlike everywhere else
        include_usage=True,
        limit=max(limit or 0, 0),  # below 0: none at all
        choices=1,
        framing="lines",
    )


_READERS: dict[WireFormat, Callable[[Body, str, bool, str], Request]] = {
    WireFormat.OPENAI_CHAT: _read_chat,
    WireFormat.OPENAI_RESPONSES: _read_responses,
    WireFormat.ANTHROPIC_MESSAGES: _read_messages,
    WireFormat.GEMINI_GENERATE: _read_gemini,
    WireFormat.OLLAMA_CHAT: _read_ollama,
}


# Where each dialect's turns stand, and where its requests go.
_TURNS = {
    "messages": "/v1/chat/completions (OpenAI's) or /v1/messages (Anthropic's)",
    "input": "/v1/responses",
    "contents": "/v1beta/models/{model}:generateContent",
}


def _no_turns(body: Body, wanted: str, message: str) -> InvalidRequest:
    """The error for a body without turns; one in another dialect is told where it belongs."""
    for field, place in _TURNS.items():
        if field != wanted and not body.has(wanted) and body.has(field):
            return InvalidRequest(
                f"{field} is another dialect's: {message}, and requests with {field} go to {place}", param=field
            )
    if not body.has(wanted) and not body.has("model") and wanted != "contents":
        return _no_model()
    return InvalidRequest(message, param=wanted)


def _no_model() -> InvalidRequest:
    return InvalidRequest("the request names no model", param="model", code="missing_model")


def nested(body: Body, field: str) -> Body | None:
    """An object one level down, opened as the body is; None where there is none. Raises ``WireError``."""
    raw = body.raw(field)
    if not raw or raw == b"null":
        return None
    try:
        return Body(raw)
    except WireError as error:
        raise WireError(f"{field} must be an object", field) from error


def _model(body: Body) -> str:
    model = body.get("model")
    if model is None or model == "":
        raise _no_model()
    if not isinstance(model, str):
        raise InvalidRequest("model must be a string", param="model")
    return _known_model(model)


def _known_model(model: str) -> str:
    if len(model) > MAX_MODEL_ID:
        raise InvalidRequest(f"model is longer than {MAX_MODEL_ID} characters", param="model")
    return model


def _flag(value: Any, field: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{field} must be true or false", param=field)


def _count(body: Body, field: str, *, within: str = "", text: bool = False) -> int:
    """A positive number, or 0 for none. With ``text`` its digits may stand in a string, as Google reads them."""
    value = body.get(field)
    if value is None:
        return 0
    if text and isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name = f"{within}.{field}" if within else field
        raise InvalidRequest(f"{name} must be a positive whole number", param=name)
    return value
