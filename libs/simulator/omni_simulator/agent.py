"""The scripted agent: finds the tool that can write a file, whatever it is called, and fills in its arguments."""

import re
import shlex

from omni_simulator.reading import compact
from omni_simulator.schema import example
from omni_simulator.script import Script
from omni_simulator.values import Ask, Tool

# Property names seen in the tools of coding agents, lower case and without separators.
_PATHS = ("filepath", "path", "absolutepath", "targetfile", "filename", "file", "relativepath", "relativeworkspacepath")
_CONTENTS = ("content", "contents", "filetext", "text", "filecontent", "newcontent", "body", "data", "codeedit")
_SHELLS = ("command", "cmd", "commands", "script", "bashcommand")
_ACTIONS = ("create", "write", "overwrite")
_WRITING = ("write", "create", "save", "new", "put")

_FILE = re.compile(r"(?<![\w/.-])(?:[\w.-]+/)*[\w-]+\.[a-z][a-z0-9]{0,7}\b(?!\()")
# "Working directory: /x", "<cwd>/x</cwd>", "currently working in the directory: /x"
_DIRECTORY = re.compile(r"(?:directory|cwd)\W{1,6}(/[^\s<>\"'`,;]+)", re.IGNORECASE)

_DEFAULT_FILE = "simulated.txt"
_DEFAULT_CONTENT = "Written by the simulated agent.\n"


def choose(ask: Ask, script: Script) -> tuple[Tool, str] | None:
    """The tool to call and its arguments; None when no tool offered can write a file."""
    writers = [(score, tool) for tool in ask.tools if (score := _writer_score(tool))]
    path = script.file or _file_in(ask.last_user)
    content = script.content or _DEFAULT_CONTENT
    if writers:
        tool = max(writers, key=lambda found: found[0])[1]
        return tool, _write_arguments(tool, _anchored(path, ask), content)
    command = f"printf %s {shlex.quote(content)} > {shlex.quote(path)}"
    for tool in ask.tools:
        name = _property(tool, _SHELLS)
        if name is not None and not tool.custom:
            return tool, _shell_arguments(tool, name, command)
    for tool in ask.tools:
        if tool.custom:
            return tool, _free_text(tool, path, content, command)
        if _wraps_text(tool):
            return tool, compact({"input": _free_text(tool, path, content, command)})
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _properties(tool: Tool) -> dict[str, object]:
    found = tool.schema.get("properties")
    return found if isinstance(found, dict) else {}


def _property(tool: Tool, names: tuple[str, ...]) -> str | None:
    mine = {_plain(name): name for name in _properties(tool)}
    return next((mine[name] for name in names if name in mine), None)


def _wraps_text(tool: Tool) -> bool:
    """A freeform tool as it comes where a format has none: a function of one text."""
    found = _properties(tool)
    only = found.get("input")
    return len(found) == 1 and isinstance(only, dict) and str(only.get("type", "")).lower() == "string"


def _writer_score(tool: Tool) -> int:
    """0 for a tool that cannot write a file from nothing; more, the plainer a writer it is."""
    if _property(tool, _PATHS) is None or _property(tool, _CONTENTS) is None:
        return 0
    names = {_plain(name) for name in _properties(tool)}
    editing = any(name.startswith(("old", "diff", "insert", "search")) for name in names)
    return 1 + 2 * any(word in tool.name.lower() for word in _WRITING) + (not editing)


def _write_arguments(tool: Tool, path: str, content: str) -> str:
    filled = example(tool.schema)
    arguments = filled if isinstance(filled, dict) else {}
    # An action selector (`command: create | view | …`) must say the one that writes.
    for name, schema in _properties(tool).items():
        choices = schema.get("enum") if isinstance(schema, dict) else None
        if isinstance(choices, list):
            arguments[name] = next((choice for choice in choices if choice in _ACTIONS), choices[0] if choices else "")
    arguments[_property(tool, _PATHS) or "path"] = path
    arguments[_property(tool, _CONTENTS) or "content"] = content
    return compact(arguments)


def _shell_arguments(tool: Tool, name: str, command: str) -> str:
    filled = example(tool.schema)
    arguments = filled if isinstance(filled, dict) else {}
    schema = _properties(tool)[name]
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not (isinstance(kind, str) and kind.lower() == "array"):
        arguments[name] = command
    elif _plain(name) == "commands":  # a list of commands
        arguments[name] = [command]
    else:  # one command as an argument vector
        arguments[name] = ["bash", "-lc", command]
    return compact(arguments)


def _free_text(tool: Tool, path: str, content: str, command: str) -> str:
    if "patch" in tool.name:
        lines = "".join(f"+{line}\n" for line in content.splitlines())
        return f"*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n"
    return f"const result = await tools.exec_command({{cmd: {compact(command)}}});\ntext(result.output);\n"


def _file_in(words: str) -> str:
    found = _FILE.search(words)
    return found.group() if found else _DEFAULT_FILE


def _anchored(path: str, ask: Ask) -> str:
    """Many write tools insist on an absolute path; agents are told their directory in the prompt."""
    if path.startswith("/"):
        return path
    for words in ask.texts:
        found = _DIRECTORY.search(words)
        if found:
            return f"{found.group(1).rstrip('/.')}/{path}"
    return path
