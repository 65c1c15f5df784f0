"""Which path asks for what."""

from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import msgspec

from omni_simulator.formats import (
    BEDROCK,
    CHAT,
    CLOUDCODE,
    COHERE,
    CURSOR,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    RESPONSES,
    Format,
)
from omni_simulator.plans import ADDRESSES

Action = Literal[
    "answer",
    "stream-sse",
    "stream-array",
    "stream-events",
    "embed",
    "count",
    "models",
    "model",
    "health",
    "stats",
    "upgrade",
    "usage",
]


class Route(msgspec.Struct, frozen=True):
    """``name`` is the path as counted; ``model`` is the one in the path, if the format puts it there."""

    name: str
    action: Action
    format: Format
    model: str = ""


_POSTS: dict[str, tuple[Action, Format]] = {
    "/chat/completions": ("answer", CHAT),
    "/responses": ("answer", RESPONSES),
    "/responses/input_tokens": ("count", RESPONSES),
    "/embeddings": ("embed", CHAT),
    "/messages": ("answer", MESSAGES),
    "/messages/count_tokens": ("count", MESSAGES),
}
# Paths without a version before them.
_WHOLE: dict[str, tuple[bytes, Action, Format]] = {
    "/api/chat": (b"POST", "answer", OLLAMA),
    "/api/tags": (b"GET", "models", OLLAMA),
    "/v2/chat": (b"POST", "answer", COHERE),
    "/v1internal:generateContent": (b"POST", "answer", CLOUDCODE),
    "/v1internal:countTokens": (b"POST", "count", CLOUDCODE),
    "/aiserver.v1.ChatService/StreamUnifiedChatWithTools": (b"POST", "answer", CURSOR),
    "/generateAssistantResponse": (b"POST", "stream-events", KIRO),
}
_CLOUDCODE_STREAM = "/v1internal:streamGenerateContent"
_BEDROCK_ACTIONS: dict[str, Action] = {
    "converse": "answer",
    "converse-stream": "stream-events",
    "count-tokens": "count",
}
_GEMINI_ACTIONS: dict[str, Action] = {"generateContent": "answer", "countTokens": "count"}


@lru_cache(maxsize=1024)
def find(method: bytes, target: bytes) -> Route | None:
    """None when there is nothing at that path for that method."""
    raw, _, query = target.decode("latin-1").partition("?")
    if raw in ("/healthz", "/", "/sim/stats"):
        action: Action = "stats" if raw == "/sim/stats" else "health"
        allowed = (b"GET", b"DELETE") if action == "stats" else (b"GET", b"HEAD")
        return Route(raw, action, CHAT) if method in allowed else None
    if raw in ADDRESSES:
        return Route(raw, "usage", CHAT) if method == ADDRESSES[raw][0] else None
    if raw in _WHOLE:
        wanted, plain, spoken = _WHOLE[raw]
        return Route(raw, plain, spoken) if method == wanted else None
    if raw == _CLOUDCODE_STREAM:
        # Google's other way to stream, one JSON array, is what Gemini's own paths are asked for here.
        sse = method == b"POST" and "alt=sse" in query.split("&")
        return Route(raw, "stream-sse", CLOUDCODE) if sse else None
    if raw.startswith("/model/"):
        return _find_bedrock(method, raw)
    version, path = _version(raw)
    if method == b"POST":
        return _find_post(version, path, query)
    if method != b"GET":
        return None
    if path == "/responses":
        return Route("/v1/responses", "upgrade", RESPONSES)
    style = GEMINI if version == "/v1beta" else CHAT
    if path == "/models":
        return Route(f"{version}/models", "models", style)
    if path.startswith("/models/"):
        return Route(f"{version}/models/{{model}}", "model", style, unquote(path.removeprefix("/models/")))
    return None


def format_of(target: bytes) -> Format:
    """Whose words an error at an unknown path is said in."""
    if target.startswith((b"/v1beta", b"/v1/models/")):
        return GEMINI
    if target.startswith((b"/v1internal", b"/aiserver.")):
        return CLOUDCODE if target.startswith(b"/v1internal") else CURSOR
    if target.startswith((b"/model/", b"/generateAssistantResponse")):
        return BEDROCK
    if target.startswith((b"/api/", b"/v2/")):
        return OLLAMA if target.startswith(b"/api/") else COHERE
    return MESSAGES if b"/messages" in target else CHAT


def _version(path: str) -> tuple[str, str]:
    for version in ("/v1beta", "/v1"):
        if path.startswith(f"{version}/"):
            return version, path[len(version) :]
    return "/v1", path


def _find_bedrock(method: bytes, path: str) -> Route | None:
    model, _, verb = path.removeprefix("/model/").rpartition("/")
    found = _BEDROCK_ACTIONS.get(verb)
    if found is None or not model or method != b"POST":
        return None
    return Route(f"/model/{{model}}/{verb}", found, BEDROCK, unquote(model))


def _find_post(version: str, path: str, query: str) -> Route | None:
    if path in _POSTS and version == "/v1":
        action, spoken = _POSTS[path]
        return Route(f"/v1{path}", action, spoken)
    if not path.startswith("/models/"):
        return None
    model, _, verb = unquote(path.removeprefix("/models/")).rpartition(":")
    if verb == "streamGenerateContent":
        found: Action | None = "stream-sse" if "alt=sse" in query.split("&") else "stream-array"
    else:
        found = _GEMINI_ACTIONS.get(verb)
    if found is None or not model:
        return None
    return Route(f"{version}/models/{{model}}:{verb}", found, GEMINI, model)
