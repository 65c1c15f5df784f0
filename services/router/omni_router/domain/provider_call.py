"""How a provider of each wire format is called: where, with which headers, and how its answers are told apart.

One row of ``WIRES`` a format.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec
from omni_catalogue.snapshot import Account, Model, Provider
from omni_wire import aws_event_stream, loops
from omni_wire.errors import NotBuilt
from omni_wire.formats import WireFormat

from omni_router.domain import cursor_client, sigv4

_JSON = "application/json"
_EVENTS = "text/event-stream"
_CONNECT = "application/connect+proto"
_AUTHORIZATION = "authorization"
_LISTS = frozenset({"anthropic-beta"})
_LINES = "application/x-ndjson"
# The formats in which a gateway like this one is asked.
_SERVED = (
    WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES, WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE,
    WireFormat.OLLAMA_CHAT,
)  # fmt: skip


class Call(msgspec.Struct, frozen=True):
    """What is to be sent, for a format whose credential is a proof over it or says more of the account: ``now`` in
    epoch seconds."""

    url: str
    body: bytes
    now: int
    account: Account | None = None


class Wire(msgspec.Struct, frozen=True):
    """How providers of one format are called.

    ``path`` is made of the model, whether a stream is asked for, and its framing. ``credential`` is the header that the
    account's secret stands in and what stands before it, unless ``sign`` makes the headers that prove it. ``streamed``
    is the content type of a stream. ``fixed`` headers go with every call; ``of_the_client`` are those that a client of
    the same format may set. ``streams_only``: it has no other answers than streams. ``takes_limit``: a request can
    bound its output, so that a budget can be held. ``count`` is the path where it counts tokens for nothing, made of
    the model; None where it cannot. ``models`` is the path of the list of its models, "" where there is none.
    """

    path: Callable[[str, bool, str], str]
    credential: tuple[str, str] = ("authorization", "Bearer ")
    sign: Callable[[str, Call], Mapping[str, str]] | None = None
    streamed: str = _EVENTS
    fixed: Mapping[str, str] = {}
    of_the_client: tuple[str, ...] = ()
    streams_only: bool = False
    takes_limit: bool = True
    count: Callable[[str], str] | None = None
    models: str = ""


def _at(path: str) -> Callable[[str, bool, str], str]:
    return lambda model, stream, framing: path


def _gemini(model: str, stream: bool, framing: str) -> str:
    if not stream:
        return _verb(model, "generateContent")
    return _verb(model, "streamGenerateContent") + ("" if framing == "array" else "?alt=sse")


def _verb(model: str, verb: str) -> str:
    # Everything is escaped, so that no model id can lead to another path.
    return f"/v1beta/models/{quote(model, safe='')}:{verb}"


def _cloudcode(model: str, stream: bool, framing: str) -> str:
    return "/v1internal:streamGenerateContent?alt=sse" if stream else "/v1internal:generateContent"


# Bedrock counts for its models only, and not for the inference profiles that lead to one from several regions.
_ACROSS_REGIONS = re.compile(r"(?:us|us-gov|eu|apac|au|ca|jp|sa|global)\.(?=[a-z0-9-]+\.)")


def _bedrock_count(model: str) -> str:
    across = _ACROSS_REGIONS.match(model)
    return f"/model/{quote(model[across.end() :] if across else model, safe='')}/count-tokens"


def _converse(model: str, stream: bool, framing: str) -> str:
    return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"


# Base URLs are what each vendor's own SDK takes: OpenAI's with its version, all others' without.
WIRES: Mapping[WireFormat, Wire] = {
    WireFormat.OPENAI_CHAT: Wire(path=_at("/chat/completions"), of_the_client=("openai-beta",), models="/models"),
    WireFormat.OPENAI_RESPONSES: Wire(
        path=_at("/responses"),
        of_the_client=("openai-beta",),
        count=lambda model: "/responses/input_tokens",
        models="/models",
    ),
    WireFormat.ANTHROPIC_MESSAGES: Wire(
        path=_at("/v1/messages"),
        credential=("x-api-key", ""),
        # The version every Anthropic client sends (docs.anthropic.com/en/api/versioning).
        fixed={"anthropic-version": "2023-06-01"},
        of_the_client=("anthropic-version", "anthropic-beta"),
        count=lambda model: "/v1/messages/count_tokens",
        models="/v1/models",
    ),
    WireFormat.GEMINI_GENERATE: Wire(
        path=_gemini,
        credential=("x-goog-api-key", ""),
        count=lambda model: _verb(model, "countTokens"),
        models="/v1beta/models",
    ),
    WireFormat.CLOUDCODE_GENERATE: Wire(path=_cloudcode, count=lambda model: "/v1internal:countTokens"),
    WireFormat.CURSOR_CHAT: Wire(
        path=_at("/aiserver.v1.ChatService/StreamUnifiedChatWithTools"),
        sign=lambda secret, call: cursor_client.bearer(secret, call.account, call.now),
        streamed=_CONNECT,
        # connectrpc.com/docs/protocol; frames may come compressed.
        fixed={"content-type": _CONNECT, "connect-protocol-version": "1", "connect-accept-encoding": "gzip"},
        streams_only=True,
        takes_limit=False,
    ),
    WireFormat.BEDROCK_CONVERSE: Wire(
        path=_converse,
        sign=lambda secret, call: sigv4.bearer_or_signed("bedrock", secret, call.url, call.body, call.now),
        streamed=aws_event_stream.CONTENT_TYPE,
        count=_bedrock_count,
    ),
    WireFormat.KIRO_CONVERSATION: Wire(
        path=_at("/generateAssistantResponse"),
        streamed=aws_event_stream.CONTENT_TYPE,
        # The operation's name. Nothing here says that we are Kiro.
        fixed={"x-amz-target": "AmazonCodeWhispererStreamingService.GenerateAssistantResponse"},
        streams_only=True,
        takes_limit=False,
    ),
    WireFormat.OLLAMA_CHAT: Wire(path=_at("/api/chat"), streamed=_LINES, models="/api/tags"),
    WireFormat.COHERE_CHAT: Wire(path=_at("/v2/chat"), models="/v1/models"),
}


def wire(provider: Provider) -> Wire:
    """Raises ``NotBuilt`` for a format that has no row."""
    found = WIRES.get(provider.format)
    if found is None:
        raise NotBuilt(f"providers that speak {provider.format} are not served yet ({provider.id})")
    return found


def url(provider: Provider, model: str = "", *, stream: bool = False, framing: str = "sse") -> str:
    """The address of a completion."""
    return provider.base_url.rstrip("/") + wire(provider).path(model, stream, framing)


def count_url(provider: Provider, model: str) -> str:
    """Where the provider counts the tokens of a request; empty when it cannot, or not for nothing."""
    count = wire(provider).count
    return provider.base_url.rstrip("/") + count(model) if count is not None else ""


def models_url(provider: Provider) -> str:
    """Where the provider lists its models; empty where it does not."""
    path = wire(provider).models
    return provider.base_url.rstrip("/") + path if path else ""


def streams_only(provider: Provider) -> bool:
    """Whether every answer of its is a stream."""
    found = WIRES.get(provider.format)
    return found is not None and found.streams_only


def takes_limit(provider: Provider) -> bool:
    """Whether a request can bound the output of such a provider."""
    found = WIRES.get(provider.format)
    return found is None or found.takes_limit


def signs(provider: Provider) -> bool:
    """Whether a call's credential is made of the call itself."""
    found = WIRES.get(provider.format)
    return found is not None and found.sign is not None


def asks_stream(provider: Provider, model: Model, wanted: bool) -> bool:
    """Whether to ask for a stream, for a client who wants one or not: some have no other answers, and some none."""
    has = model.streaming or provider.streaming
    return has != "never" if wanted else has == "only" or streams_only(provider)


def stream_type(provider: Provider, framing: str) -> str:
    """The content type that a streamed answer must have."""
    return _JSON if framing == "array" else wire(provider).streamed


def fixed_headers(provider: Provider, *, stream: bool, framing: str = "sse") -> dict[str, str]:
    """The headers that every such call has."""
    spoken = wire(provider)
    return {
        "content-type": _JSON,
        "accept": spoken.streamed if stream and framing != "array" else _JSON,
        "accept-encoding": "identity",
        "user-agent": "omniroute",
        **({loops.HEADER: loops.NAME} if may_be_ours(provider) else {}),
        **spoken.fixed,
    }


def may_be_ours(provider: Provider) -> bool:
    """Whether a provider could be a gateway like this one: it speaks what one speaks, and is no vendor's own."""
    return provider.format in _SERVED and provider.tier != "subscription"


def headers(
    provider: Provider,
    secret: str,
    fixed: Mapping[str, str],
    *,
    request_id: str,
    traceparent: str = "",
    client: Mapping[str, str] = {},
    loop: str = "",
    call: Call | None = None,
    own: Mapping[str, str] = {},
) -> dict[str, str]:
    """Headers of a call; the client's own credentials never come here. ``secret`` is empty where none is needed.

    ``client`` are the headers of a client of the provider's own format, of which a few are handed on, ``loop`` is what
    the request's own header says of the gateways that it has passed. ``call`` is needed where the format signs. ``own``
    are those of the account's login, with its credential among them where that does not stand in the format's own
    place.
    """
    spoken = wire(provider)
    result = {**fixed, "x-request-id": request_id}
    if loop and loops.HEADER in fixed:
        result[loops.HEADER] = loops.onward(loop)
    if traceparent:
        result["traceparent"] = traceparent
    if secret and _AUTHORIZATION not in own:
        if spoken.sign is not None and call is not None:
            result.update(spoken.sign(secret, call))
        else:
            name, prefix = spoken.credential
            result[name] = prefix + secret
    if client:
        for name in spoken.of_the_client:
            value = client.get(name, "")
            if value and value.isascii() and value.isprintable():  # or it could not be sent, and look like our doing
                result[name] = value
    for name, value in own.items():
        # A list that both have words for is the words of both.
        result[name] = _joined(result[name], value) if name in _LISTS and name in result else value
    return result


def _joined(one: str, other: str) -> str:
    words = [word.strip() for word in f"{one},{other}".split(",")]
    return ",".join(dict.fromkeys(word for word in words if word))


def at(url: str, provider: Provider, base_url: str) -> str:
    """``url``, of a call to ``provider``, where its account is to be asked; ``base_url`` is "" for nowhere else."""
    return base_url + url[len(provider.base_url.rstrip("/")) :] if base_url else url
