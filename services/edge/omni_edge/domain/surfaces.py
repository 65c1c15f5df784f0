"""Which path is what, and in which dialect it is answered. One row a surface."""

from enum import StrEnum

import msgspec
from omni_wire.formats import WireFormat


class Role(StrEnum):
    """``COMPLETE`` hands the body to the router, ``COUNT`` has it count its tokens, ``PAGE`` is answered here."""

    COMPLETE = "complete"
    COUNT = "count"
    PAGE = "page"
    UNKNOWN = "unknown"


class Surface(msgspec.Struct, frozen=True):
    """``name`` is its label in metrics, ``format`` the dialect it is answered in.

    A ``probe`` is answered while draining too. Where ``by_header``, several dialects share the path: ``format`` is for
    those who do not show theirs (``domain.request.spoken``). ``verb`` is what follows the model in a path that names
    it, and ``stream`` whether that verb asks for a stream. ``endpoint`` is what a key's scopes call it (one of
    ``omni_catalogue.scopes.ENDPOINTS``), empty where no key is asked for.
    """

    name: str
    format: WireFormat
    methods: tuple[str, ...]
    role: Role
    probe: bool = False
    by_header: bool = False
    verb: str = ""
    stream: bool = False
    endpoint: str = ""


_GET = ("GET", "HEAD")
_POST = ("POST",)
_OPENAI, _ANTHROPIC, _GEMINI = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
_RESPONSES, _OLLAMA = WireFormat.OPENAI_RESPONSES, WireFormat.OLLAMA_CHAT

_VERBS = (
    Surface("generate", _GEMINI, _POST, Role.COMPLETE, verb=":generateContent", endpoint="gemini"),
    Surface(
        "stream_generate", _GEMINI, _POST, Role.COMPLETE, verb=":streamGenerateContent", stream=True, endpoint="gemini"
    ),
    Surface("gemini_count_tokens", _GEMINI, _POST, Role.COUNT, verb=":countTokens", endpoint="count_tokens"),
)
_MODEL = Surface("model", _OPENAI, _GET, Role.PAGE, by_header=True, endpoint="models")
_GEMINI_MODEL = Surface("gemini_model", _GEMINI, _GET, Role.PAGE, endpoint="models")

EXACT: dict[str, Surface] = {
    "/v1/chat/completions": Surface("chat", _OPENAI, _POST, Role.COMPLETE, endpoint="chat"),
    "/v1/responses": Surface("responses", _RESPONSES, _POST, Role.COMPLETE, endpoint="responses"),
    "/v1/responses/input_tokens": Surface("input_tokens", _RESPONSES, _POST, Role.COUNT, endpoint="count_tokens"),
    "/v1/messages": Surface("messages", _ANTHROPIC, _POST, Role.COMPLETE, endpoint="messages"),
    "/v1/messages/count_tokens": Surface("count_tokens", _ANTHROPIC, _POST, Role.COUNT, endpoint="count_tokens"),
    "/v1beta/models": Surface("gemini_models", _GEMINI, _GET, Role.PAGE, endpoint="models"),
    "/api/chat": Surface("ollama_chat", _OLLAMA, _POST, Role.COMPLETE, endpoint="ollama"),
    "/api/tags": Surface("ollama_tags", _OLLAMA, _GET, Role.PAGE, endpoint="models"),
    "/v1/models": Surface("models", _OPENAI, _GET, Role.PAGE, by_header=True, endpoint="models"),
    "/v1": Surface("index", _OPENAI, _GET, Role.PAGE),
    "/openapi.json": Surface("openapi", _OPENAI, _GET, Role.PAGE),
    "/healthz": Surface("healthz", _OPENAI, _GET, Role.PAGE, probe=True),
    "/readyz": Surface("readyz", _OPENAI, _GET, Role.PAGE, probe=True),
    "/metrics": Surface("metrics", _OPENAI, _GET, Role.PAGE, probe=True),
}

# (prefix, suffix, surface), first match wins; model ids may hold slashes. Google's newer SDKs use /v1 where its CLI and
# its older ones use /v1beta.
_MODELS = "/models/"
PATTERNS: tuple[tuple[str, str, Surface], ...] = (
    *((version + _MODELS, surface.verb, surface) for version in ("/v1beta", "/v1") for surface in _VERBS),
    ("/v1beta/models/", "", _GEMINI_MODEL),
    ("/v1/models/", "", _MODEL),
    # The AI SDK leaves /models out where the model's name holds a slash.
    *((f"{version}/", surface.verb, surface) for version in ("/v1beta", "/v1") for surface in _VERBS),
)

_UNKNOWN = {
    form: Surface("unknown", form, (), Role.UNKNOWN, by_header=form is _OPENAI)
    for form in (_OPENAI, _ANTHROPIC, _GEMINI)
}

SURFACES: tuple[Surface, ...] = tuple(
    {surface.name: surface for surface in (*EXACT.values(), *(row[2] for row in PATTERNS), _UNKNOWN[_OPENAI])}.values()
)


def match(path: str) -> Surface:
    """The surface that answers ``path``; one of role ``UNKNOWN``, in its neighbours' dialect, when none does."""
    surface = EXACT.get(path)
    if surface is not None:
        return surface
    for prefix, suffix, candidate in PATTERNS:
        if len(path) > len(prefix) + len(suffix) and path.startswith(prefix) and path.endswith(suffix):
            return candidate
    if path.startswith("/v1beta/"):
        return _UNKNOWN[_GEMINI]
    return _UNKNOWN[_ANTHROPIC if path.startswith("/v1/messages/") else _OPENAI]


def model_in(surface: Surface, path: str) -> str:
    """The model that a ``path`` of ``surface`` names; "" where the body does."""
    if not surface.verb:
        return ""
    named = path[path.index("/", 1) : -len(surface.verb)]
    return named.removeprefix(_MODELS) if named.startswith(_MODELS) else named[1:]


def endpoints() -> list[str]:
    """Method and path of everything that is here, for people."""
    rows = list(EXACT.items())
    rows += [(f"{prefix}{{model}}{suffix}", surface) for prefix, suffix, surface in PATTERNS]
    return [f"{surface.methods[0]} {path}" for path, surface in rows]


def owns(path: str) -> bool:
    """Whether ``path`` is the edge's on a listener that it shares."""
    return path in EXACT or path.startswith(("/v1/", "/v1beta/")) or path == "/v1beta"
