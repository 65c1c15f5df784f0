"""What the edge itself says around the router's bytes, in each dialect: headers, signs of life, errors, counts."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

import msgspec
from omni_catalogue.guards import FOUND
from omni_wire.errors import GatewayError, RateLimited, render_body, render_frame, render_item
from omni_wire.formats import WireFormat

Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_STREAM = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_LONG_NAME = 256  # characters
_MAX_VALUE = 1024  # bytes of one header's value: clients and proxies have bounds of 8 KiB for all of them together
_MAX_TRACE = 2048  # only for who asked for it

# Between two events, so that clients and proxies see that a stream lives. Anthropic's clients know an event for it.
# Google's SDKs take a comment for a piece of JSON, but blank lines mean nothing to them, and in an array to nobody. To
# Ollama's client for Python a blank line is broken JSON, but a blank before the next line is only a part of that.
KEEP_ALIVE = {
    WireFormat.OPENAI_CHAT: b": keep-alive\n\n",
    WireFormat.OPENAI_RESPONSES: b": keep-alive\n\n",
    WireFormat.ANTHROPIC_MESSAGES: b'event: ping\ndata: {"type":"ping"}\n\n',
    WireFormat.GEMINI_GENERATE: b"\n\n",
    WireFormat.OLLAMA_CHAT: b" ",
}
KEEP_ARRAY_ALIVE = b"\n"


def stream_type(dialect: WireFormat, *, array: bool) -> str:
    """The content type of a stream that the edge begins before the router has answered."""
    if array:
        return "application/json; charset=utf-8"
    return "application/x-ndjson" if dialect is WireFormat.OLLAMA_CHAT else "text/event-stream; charset=utf-8"


def header_value(text: str, most: int = _MAX_VALUE) -> bytes:
    """``text`` as a header may carry it: model names come from clients, so what is not printable ASCII is escaped,
    and what is beyond ``most`` bytes is cut off."""
    value = _escaped(text[:most])
    if len(value) <= most:
        return value
    end = value.rfind(b"%", most - 2, most)  # of an escape, all or nothing
    return value[: end if end >= 0 else most]


def _escaped(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~").encode("ascii")


def translation(losses: Sequence[str]) -> bytes:
    """As many whole names as a header has room for, then how many more there are."""
    if not losses:
        return b"lossless"
    value = b"lossy; dropped="
    reserve = len(b",+%d more" % len(losses))
    for place, loss in enumerate(losses):
        left = len(losses) - place
        field = (b"," if place else b"") + _escaped(loss[: _MAX_VALUE + 1])
        if len(value) + len(field) > _MAX_VALUE - (reserve if left > 1 else 0):
            return value + (b",+%d more" if place else b"+%d more") % left
        value += field
    return value


def success_headers(
    request_id: bytes, content_type: str, provider: str, model: str, losses: Sequence[str], stream: bool
) -> Headers:
    """Without a ``provider`` nothing is said of one: the answer is the gateway's own."""
    if losses or len(model) > _LONG_NAME:  # any client can make as many of these as it likes, of any size
        told = _told(content_type, provider, model, translation(losses), stream)
    else:
        told = _told_again(content_type, provider, model, b"lossless", stream)
    return [*told, (b"x-request-id", request_id)]


def rules_headers(rules: Sequence[str]) -> Headers:
    """What the configuration has changed, which no translation would have; and what its guards found, by name."""
    changed = [name for name in rules if not name.startswith(FOUND)]
    found = [name.removeprefix(FOUND) for name in rules if name.startswith(FOUND)]
    told = ((b"x-omniroute-rules", changed), (b"x-omniroute-guard", found))
    return [(header, header_value(",".join(names))) for header, names in told if names]


def timing_header(total_us: int, stages: Sequence[int]) -> tuple[bytes, bytes]:
    """Where the microseconds until the first byte went (w3.org/TR/server-timing): ``stages`` are the router's
    (``omni_core.ports.router.STAGES``), ``edge`` is what is left of the ``total``. Most requests neither wait for a
    turn nor are retried. ``dur`` is in milliseconds: whole microseconds "e-3" cost a third of a float's digits."""
    plan, queue, retry, admit, encode, provider = stages
    edge = max(0, total_us - plan - queue - retry - admit - encode - provider)
    waited = f"queue;dur={queue}e-3, retry;dur={retry}e-3, " if queue or retry else ""
    told = (
        f"edge;dur={edge}e-3, plan;dur={plan}e-3, {waited}admit;dur={admit}e-3, encode;dur={encode}e-3, "
        f"provider;dur={provider}e-3, total;dur={total_us}e-3"
    )
    return (b"server-timing", told.encode("ascii"))


def trace_header(trace: str) -> tuple[bytes, bytes]:
    return (b"x-omniroute-trace", header_value(trace, _MAX_TRACE))


# Whose clients pass over comments, as the standard has them do: OpenAI's and Anthropic's SDKs read events alike.
# Google's do not, and the lines of Ollama know no comments.
_READ_OVER_COMMENTS = (WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES, WireFormat.ANTHROPIC_MESSAGES)
_OURS = b"x-omniroute-"


def told_late(headers: Headers, dialect: WireFormat) -> bytes:
    """The gateway's own of these headers as comments, a line each, for an answer whose head is out already; nothing
    for clients that might stumble over them."""
    ours = [b": %b: %b\n" % (name, value) for name, value in headers if name.startswith(_OURS)]
    return b"".join(ours) + b"\n" if ours and dialect in _READ_OVER_COMMENTS else b""


# What the official SDKs make of an event that they do not know: Anthropic's pass over it by its name; OpenAI's read its
# data as a chunk, which must so have choices, or as an event, which must be of a type that they know (a keepalive is
# one that says nothing of the answer); Google's fail at any name.
_PROGRESS: Mapping[WireFormat, Mapping[str, object]] = {
    WireFormat.OPENAI_CHAT: {"object": "progress", "choices": ()},
    WireFormat.OPENAI_RESPONSES: {"type": "keepalive"},
    WireFormat.ANTHROPIC_MESSAGES: {"type": "progress"},
}
PROGRESS_HEADER = (b"x-omniroute-progress", b"enabled")


def knows_progress(dialect: WireFormat) -> bool:
    return dialect in _PROGRESS


def progress(dialect: WireFormat, tokens: int, elapsed_ms: int, *, done: bool = False) -> bytes:
    """How far a stream has come, as an event between two others."""
    data: dict[str, object] = {"tokens_generated": tokens, "elapsed_ms": elapsed_ms}
    if done:
        data["done"] = True
    return b"event: progress\ndata: %b\n\n" % msgspec.json.encode(data | dict(_PROGRESS[dialect]))


def count_tokens_in(frame: bytes) -> int:
    """One a line of data, as providers stream them."""
    return frame.count(b"\ndata:") + frame.startswith(b"data:")


def _told(content_type: str, provider: str, model: str, translated: bytes, stream: bool) -> Headers:
    headers = [(b"content-type", header_value(content_type))]
    if provider:
        headers += [
            (b"x-omniroute-provider", header_value(provider)),
            (b"x-omniroute-model", header_value(model)),
            (b"x-omniroute-translation", translated),
        ]
    return headers + _STREAM if stream else headers


_told_again = lru_cache(1024)(_told)


def own_id(dialect: WireFormat, request_id: bytes) -> Headers:
    """The request's id again, where a dialect's SDKs look for it elsewhere than in ``x-request-id``."""
    return [(b"request-id", request_id)] if dialect is WireFormat.ANTHROPIC_MESSAGES else []


def error_headers(error: GatewayError, dialect: WireFormat, request_id: bytes, length: int) -> Headers:
    headers: Headers = [_JSON, (b"content-length", b"%d" % length), (b"x-request-id", request_id)]
    headers += own_id(dialect, request_id)
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if isinstance(error, RateLimited) and error.standing is not None:
        headers += limit_headers(*error.standing, max(1, math.ceil(error.retry_after or 0)))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status == 415 and error.param == "Content-Encoding":  # RFC 9110, 12.5.3
        headers.append((b"accept-encoding", b"gzip, deflate"))
    if error.trace:
        headers.append(trace_header(error.trace))
    return headers


def limit_headers(name: str, quota: int, window: int, reset: int) -> Headers:
    """A limit that is used up, as draft-ietf-httpapi-ratelimit-headers has it; ``reset`` in seconds."""
    return [
        (b"ratelimit-policy", f'"{name}";q={quota};w={window}'.encode("ascii")),
        (b"ratelimit", f'"{name}";r=0;t={reset}'.encode("ascii")),
    ]


def error_body(error: GatewayError, dialect: WireFormat, request_id: str, *, array: bool = False) -> bytes:
    """A whole answer. An ``array`` is what Google wraps it in for a client that gets its streams as one."""
    if array:
        return render_item(error, request_id, first=True)
    return render_body(error, dialect, request_id)


def last_frames(
    error: GatewayError, dialect: WireFormat, request_id: str, *, array: bool, first: bool
) -> tuple[bytes, ...]:
    """What ends a stream that has begun, in pieces to send apart; ``first`` when the router has sent none of it."""
    if array:
        return (render_item(error, request_id, first=first),)
    frame = render_frame(error, dialect, request_id)
    if dialect is WireFormat.GEMINI_GENERATE:  # whose clients see the bare JSON in it only when it comes alone
        bare, end, event = frame.partition(b"\n\n")
        return bare + end, event
    return (frame,)


def count_body(tokens: int, dialect: WireFormat) -> bytes:
    """The answer to a client who asked how many tokens its request has: Anthropic's MessageTokensCount
    (platform.claude.com/docs/en/api/messages-count-tokens), Google's CountTokensResponse (ai.google.dev/api/tokens),
    OpenAI's of Responses (developers.openai.com/api/reference, responses/input_tokens)."""
    if dialect is WireFormat.GEMINI_GENERATE:
        return msgspec.json.encode({"totalTokens": tokens})
    told = {"object": "response.input_tokens"} if dialect is WireFormat.OPENAI_RESPONSES else {}
    return msgspec.json.encode(told | {"input_tokens": tokens})
