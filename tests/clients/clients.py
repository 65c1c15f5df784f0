"""The table of clients: what each is, what it can show, and which exception it has for what."""

from collections.abc import Mapping

import msgspec

from tests.clients.door import Client
from tests.clients.python import anthropic_sdk, google_sdk, openai_sdk

Errors = Mapping[int, str]

OPENAI: Errors = {
    400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError",
    429: "RateLimitError", 500: "InternalServerError", 0: "APIError",
}  # fmt: skip
GOOGLE: Errors = {
    400: "ClientError", 401: "ClientError", 403: "ClientError", 404: "ClientError", 429: "ClientError",
    500: "ServerError", 0: "APIError",
}  # fmt: skip


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """``errors`` names the class, or one it derives from, by status; 0 stands for an error after the first byte.

    ``run`` is the client itself; without one it is a program of its own (``workers.py``).
    ``ends`` is how it says that a text, and that a turn with calls, is over. ``whole_counts`` where its counts have an
    accounting of their own: input with what the cache gave and took, output with the thoughts. ``wraps_results``
    is the JSON text around a tool's result where it sends one, ``@tool`` and ``@said`` standing for what varies.
    ``demands_calls``: to it, structured output is a call that it demands. ``shows`` are the only scenarios in which it
    shows anything, where it is not all of them.
    """

    sdk: str
    language: str
    dialect: str
    errors: Errors
    ends: tuple[str, str]
    run: Client | None = None
    shows_thinking: bool = True
    keeps_retry_after: bool = True
    shows_written: bool = False
    whole_counts: bool = False
    wraps_results: str = ""
    demands_calls: bool = False
    shows: frozenset[str] | None = None
    counts_cached: bool = True
    counts_reasoning: bool = True

    @property
    def lacks(self) -> list[str]:
        """What its own reading of an answer leaves out, so that nothing can be expected of it there."""
        told = ((self.shows_thinking, "reads no thoughts"), (self.keeps_retry_after, "drops a refusal's headers"))
        lacks = [lack for has, lack in told if not has]
        return [*lacks, "gives objects, and nothing else of an answer"] if self.shows is not None else lacks

    @property
    def name(self) -> str:
        return f"{self.sdk}/{self.language}/{self.dialect}"


PYTHON = (
    Row(
        sdk="openai", language="python", dialect="openai.chat", run=openai_sdk.chat, errors=OPENAI,
        ends=("stop", "tool_calls"),
    ),
    Row(
        sdk="openai", language="python", dialect="openai.responses", run=openai_sdk.responses, errors=OPENAI,
        ends=("completed", "completed"),
    ),
    Row(
        sdk="anthropic", language="python", dialect="anthropic.messages", run=anthropic_sdk.messages, errors=OPENAI,
        ends=("end_turn", "tool_use"), shows_written=True, counts_reasoning=False,
    ),
    Row(
        sdk="google-genai", language="python", dialect="gemini.generate", run=google_sdk.generate, errors=GOOGLE,
        ends=("STOP", "STOP"),
    ),
)  # fmt: skip
