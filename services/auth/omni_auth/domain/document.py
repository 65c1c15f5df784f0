"""YAML text as a plain tree that remembers its lines.

Scalars stay the text they were written as; what they mean is the schema's matter. So a price never passes through a
float, a key named ``on`` is a name, and ``value: 0123`` keeps its zero.
"""

import re
from typing import TypeAlias

import yaml

from omni_auth.domain.problems import Loc, Place, Places, Problem

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | None"

MAX_DEPTH = 24
MAX_NODES = 200_000  # aliases can make a small file large

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")}
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# The parser quotes what it stumbled over, and that may be a secret; its own <tokens> and single characters may stay.
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


class Document:
    """``tree`` is what was read, as far as it could be; ``problems`` is what could not."""

    def __init__(self) -> None:
        self.tree: Tree = None
        self.places = Places()
        self.problems: list[Problem] = []


class _TooLarge(Exception):
    pass


def read(text: str) -> Document:
    """Read one YAML document. Never raises: whatever is wrong with the text is in ``problems``."""
    document = Document()
    document.places.note((), Place())
    read_into(document, text, (), "")
    return document


def read_into(document: Document, text: str, loc: Loc, variable: str) -> Tree:
    """Read ``text`` as the value at ``loc`` and note its places; ``variable`` is the one that holds it, if any."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = None if node is None else _Reader(document, variable).value(node, loc, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else 1
        document.problems.append(Problem(loc, f"not YAML: {_tell(what)}", Place(line, variable)))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(Problem(loc, "not YAML: a character that text cannot have", Place(line, variable)))
        return None
    except (ValueError, OverflowError) as error:  # the scanner lets chr() fail on an escape such as "\UFFFFFFFF"
        document.problems.append(Problem(loc, f"not YAML: {type(error).__name__} in an escape", Place(1, variable)))
        return None
    except (RecursionError, _TooLarge):
        document.problems.append(Problem(loc, "nested too deep or too large", Place(1, variable)))
        return None
    if not loc:
        document.tree = value
    return value


def _tell(what: str) -> str:
    if "undefined alias" in what:
        return "an undefined alias (a text that begins with * needs quotes)"
    return _QUOTED.sub(_short, what)


def _short(match: re.Match[str]) -> str:
    quoted = match.group(1) or match.group(2) or ""
    return match.group(0) if len(quoted) <= 2 or quoted.startswith("<") else "'…'"


class _Reader:
    def __init__(self, document: Document, variable: str) -> None:
        self._document = document
        self._variable = variable
        self._nodes = 0

    def value(self, node: yaml.Node, loc: Loc, depth: int) -> Tree:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _TooLarge
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc, depth)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, loc, depth)
        return self._scalar(node, loc)

    def _problem(self, node: yaml.Node, loc: Loc, message: str) -> None:
        self._document.problems.append(Problem(loc, message, self._place(node)))

    def _place(self, node: yaml.Node) -> Place:
        return Place(node.start_mark.line + 1, self._variable)

    def _scalar(self, node: yaml.Node, loc: Loc) -> str | None:
        if node.tag == _TAG + "null":
            return None
        if node.tag not in _SCALARS:
            self._problem(node, loc, "a YAML tag that is not known here (a text that begins with ! needs quotes)")
            return None
        text = str(node.value).rstrip("\n")
        if _CONTROL.search(text):
            self._problem(node, loc, "must not have control characters or line breaks")
            return None
        return text

    def _sequence(self, node: yaml.SequenceNode, loc: Loc, depth: int) -> list[Tree]:
        if node.tag != _TAG + "seq":
            self._problem(node, loc, "a YAML tag that is not known here")
        items: list[Tree] = []
        for index, item in enumerate(node.value):
            self._document.places.note((*loc, index), self._place(item))
            items.append(self.value(item, (*loc, index), depth + 1))
        return items

    def _mapping(self, node: yaml.MappingNode, loc: Loc, depth: int) -> dict[str, Tree]:
        if node.tag != _TAG + "map":
            self._problem(node, loc, "a YAML tag that is not known here")
        entries: dict[str, Tree] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key = self._scalar(key_node, loc) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._problem(key_node, loc, "a key must be a word")
                continue
            if key in entries:
                first = self._document.places.find((*loc, key)).line
                self._problem(key_node, (*loc, key), f"the key is here twice (first in line {first})")
                continue
            self._document.places.note((*loc, key), self._place(key_node))
            entries[key] = self.value(value_node, (*loc, key), depth + 1)
        for other in merged:
            self._merge(other, entries, loc, depth)
        return entries

    def _merge(self, node: yaml.Node, entries: dict[str, Tree], loc: Loc, depth: int) -> None:
        """``<<``: take over the keys of another mapping that this one does not have itself."""
        if isinstance(node, yaml.SequenceNode) and depth < MAX_DEPTH:
            for item in node.value:
                self._merge(item, entries, loc, depth + 1)
            return
        if not isinstance(node, yaml.MappingNode):
            self._problem(node, loc, "<< takes a mapping")
            return
        for key_node, value_node in node.value:
            key = self._scalar(key_node, loc) if isinstance(key_node, yaml.ScalarNode) else None
            if key_node.tag == _TAG + "merge":
                if depth > MAX_DEPTH:
                    raise _TooLarge
                self._merge(value_node, entries, loc, depth + 1)
            elif key is not None and key not in entries:
                self._document.places.note((*loc, key), self._place(key_node))
                entries[key] = self.value(value_node, (*loc, key), depth + 1)
