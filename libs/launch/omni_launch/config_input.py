"""The configuration that a command is given: a file by its path, or standard input as ``-``."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from omni_launch.problems import CannotStart

MAX_BYTES = 4 * 1024 * 1024
STDIN = Path("-")

_SECRETS = ("api_key", "credentials", "secret")
_PROPERTIES = re.compile(r"([&!]\S*\s+)*")  # what may stand before a scalar: its anchor, its tag


def read(file: Path) -> tuple[str, str]:
    """The text, and the name that its objects are known by. Raises ``CannotStart``."""
    if file == STDIN:
        text = _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")
        return with_folder(text, Path.cwd()), "stdin"
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise CannotStart(
            f"cannot read {file}: {error.strerror}", "Name a configuration file, or - for stdin"
        ) from error
    return _decoded(content, str(file)), str(file.absolute())


def with_folder(text: str, folder: Path) -> str:
    """The same text, line by line, with the secret files that it names relative to ``folder`` by their whole paths.
    What is no YAML stays as it is, for auth to tell."""
    try:
        found = sorted(
            {_span(node) for node in _files(yaml.compose(text, Loader=yaml.SafeLoader), set())}, reverse=True
        )
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        return text
    for start, end, name in found:
        written = text[start:end]
        before = match.group() if (match := _PROPERTIES.match(written)) else ""
        whole = json.dumps(str(folder / name), ensure_ascii=False)
        text = text[:start] + before + whole + "\n" * written.count("\n", len(before)) + text[end:]
    return text


def _files(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """The names in ``api_key: {file: NAME}`` and all like it, wherever they are."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _files(item, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in _SECRETS and isinstance(value, yaml.MappingNode):
                yield from (name for word, name in value.value if word.value == "file" and _is_name(name))
            else:
                yield from _files(value, seen)


def _is_name(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(node.value)


def _span(node: yaml.ScalarNode) -> tuple[int, int, str]:
    return node.start_mark.index, node.end_mark.index, str(node.value).rstrip("\n")


def _decoded(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise CannotStart(f"{name} is larger than {MAX_BYTES} bytes", "Name a configuration file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CannotStart(f"{name}:{line}: not UTF-8 text", "Save it as UTF-8") from None
