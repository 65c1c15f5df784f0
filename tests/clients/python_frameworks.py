"""The frameworks in Python: their rows, and the environments that run them.

Instructor has one of its own: it wants an older jiter than Pydantic AI's OpenAI SDK does.
"""

from pathlib import Path

from tests.clients.clients import GOOGLE, OPENAI, Errors, Row

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-clients"

PYDANTIC: Errors = dict.fromkeys((400, 401, 403, 404, 429, 500), "ModelHTTPError") | {0: "Exception"}
ENDS = ("stop", "tool_call")

_INSTRUCTOR = "instructor"
_OBJECTS = frozenset({"structured", "errors"})

CLIENTS = (
    Row(
        sdk="langchain-openai", language="python", dialect="openai.chat", errors=OPENAI, ends=("stop", "tool_calls"),
        shows_thinking=False,
    ),
    Row(
        sdk="langchain-openai", language="python", dialect="openai.responses", errors=OPENAI,
        ends=("completed", "completed"),
    ),
    Row(
        sdk="langchain-anthropic", language="python", dialect="anthropic.messages", errors=OPENAI,
        ends=("end_turn", "tool_use"), shows_written=True, counts_reasoning=False, whole_counts=True,
    ),
    Row(sdk="pydantic-ai", language="python", dialect="openai.chat", errors=PYDANTIC, ends=ENDS, demands_calls=True),
    Row(
        sdk="pydantic-ai", language="python", dialect="openai.responses", errors=PYDANTIC, ends=("stop", "stop"),
        demands_calls=True,
    ),
    Row(
        sdk="pydantic-ai", language="python", dialect="anthropic.messages", errors=PYDANTIC, ends=ENDS,
        shows_written=True, counts_reasoning=False, whole_counts=True, demands_calls=True,
    ),
    Row(
        sdk="pydantic-ai", language="python", dialect="gemini.generate", errors=PYDANTIC, ends=("stop", "stop"),
        whole_counts=True, wraps_results='{"return_value":"@said"}', demands_calls=True,
    ),
    Row(
        sdk=_INSTRUCTOR, language="python", dialect="openai.chat", errors=OPENAI, ends=("", ""), demands_calls=True,
        shows=_OBJECTS,
    ),
    Row(
        sdk=_INSTRUCTOR, language="python", dialect="openai.responses", errors=OPENAI, ends=("", ""),
        demands_calls=True, shows=_OBJECTS,
    ),
    Row(
        sdk=_INSTRUCTOR, language="python", dialect="anthropic.messages", errors=OPENAI, ends=("", ""),
        demands_calls=True, shows=_OBJECTS,
    ),
    Row(
        sdk=_INSTRUCTOR, language="python", dialect="gemini.generate", errors=GOOGLE, ends=("", ""),
        demands_calls=True, shows=_OBJECTS,
    ),
)  # fmt: skip


def command(sdk: str) -> list[str]:
    """Raises ``RuntimeError`` where the environment was not made."""
    program = (ENVIRONMENT / "instructor" if sdk == _INSTRUCTOR else ENVIRONMENT) / "bin" / "python"
    if not program.exists():
        raise RuntimeError(f"{program} is not here: make clients-frameworks")
    return [str(program), "-m", "tests.clients.frameworks.worker"]


def versions() -> dict[str, str]:
    names = {row.sdk for row in CLIENTS}
    lines = [line for lock in ("frameworks.lock", "instructor.lock") for line in (HERE / lock).read_text().splitlines()]
    pins = (line.split(" \\")[0].partition("==") for line in lines if "==" in line)
    found = {name.partition("[")[0].removesuffix("-slim"): number for name, _, number in pins}
    return {name: number for name, number in found.items() if name in names}
