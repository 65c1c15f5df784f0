"""Which path is what, and in which dialect it is answered. One row a surface.

To open a surface, change its row's role to ``COMPLETE``: nothing else in the edge asks which format it is.
"""

from enum import StrEnum

import msgspec
from omni_wire.formats import WireFormat


class Role(StrEnum):
    """``COMPLETE`` hands the body to the router, ``COUNT`` has it count the body's tokens, ``PAGE`` is answered here,
    ``RESERVED`` is not built yet."""

    COMPLETE = "complete"
    COUNT = "count"
    PAGE = "page"
    RESERVED = "reserved"
    UNKNOWN = "unknown"


class Surface(msgspec.Struct, frozen=True):
    """``name`` is its label in metrics; ``format`` None is Ollama's dialect, which has no wire format here yet.

    A ``probe`` is answered while draining too. Where ``by_header``, several dialects share the path: ``format`` is for
    those who do not show theirs (``domain.request.spoken``). ``verb`` is what follows the model in a path that names
    it, and ``stream`` whether that verb asks for a stream.
    """

    name: str
    format: WireFormat | None
    methods: tuple[str, ...]
    role: Role
    probe: bool = False
    by_header: bool = False
    verb: str = ""
    stream: bool = False


_GET = ("GET", "HEAD")
_POST = ("POST",)
_OPENAI, _ANTHROPIC, _GEMINI = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE

_VERBS = (
    Surface("generate", _GEMINI, _POST, Role.COMPLETE, verb=":generateContent"),
    Surface("stream_generate", _GEMINI, _POST, Role.COMPLETE, verb=":streamGenerateContent", stream=True),
    Surface("gemini_count_tokens", _GEMINI, _POST, Role.COUNT, verb=":countTokens"),
)
_MODEL = Surface("model", _OPENAI, _GET, Role.PAGE, by_header=True)
_GEMINI_MODEL = Surface("gemini_model", _GEMINI, _GET, Role.PAGE)

EXACT: dict[str, Surface] = {
    "/v1/chat/completions": Surface("chat", _OPENAI, _POST, Role.COMPLETE),
    "/v1/responses": Surface("responses", WireFormat.OPENAI_RESPONSES, _POST, Role.COMPLETE),
    "/v1/messages": Surface("messages", _ANTHROPIC, _POST, Role.COMPLETE),
    "/v1/messages/count_tokens": Surface("count_tokens", _ANTHROPIC, _POST, Role.COUNT),
    "/v1beta/models": Surface("gemini_models", _GEMINI, _GET, Role.PAGE),
    "/api/chat": Surface("ollama_chat", None, _POST, Role.RESERVED),
    "/api/tags": Surface("ollama_tags", None, _GET, Role.PAGE),
    "/v1/models": Surface("models", _OPENAI, _GET, Role.PAGE, by_header=True),
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
    return path[path.index(_MODELS) + len(_MODELS) : -len(surface.verb)]


def endpoints() -> list[str]:
    """Method and path of everything that is here, for people."""
    rows = list(EXACT.items())
    rows += [(f"{prefix}{{model}}{suffix}", surface) for prefix, suffix, surface in PATTERNS]
    return [f"{surface.methods[0]} {path}" for path, surface in rows if surface.role is not Role.RESERVED]


def owns(path: str) -> bool:
    """Whether ``path`` is the edge's on a listener that it shares."""
    return path in EXACT or path.startswith(("/v1/", "/v1beta/")) or path == "/v1beta"
