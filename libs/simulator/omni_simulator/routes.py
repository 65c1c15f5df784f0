"""Which path asks for what."""

from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import msgspec

from omni_simulator.formats import CHAT, GEMINI, MESSAGES, RESPONSES, Format

Action = Literal["answer", "stream-sse", "stream-array", "count", "models", "model", "health", "stats", "upgrade"]


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
    "/messages": ("answer", MESSAGES),
    "/messages/count_tokens": ("count", MESSAGES),
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
    return MESSAGES if b"/messages" in target else CHAT


def _version(path: str) -> tuple[str, str]:
    for version in ("/v1beta", "/v1"):
        if path.startswith(f"{version}/"):
            return version, path[len(version) :]
    return "/v1", path


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
