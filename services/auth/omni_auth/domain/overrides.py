"""``OMNIROUTE__SERVER__PORT=8080``: environment variables over the file, before anything is validated.

The parts of the path are keys (in any case) or the indices of list items the file has; the value is YAML. An empty
variable counts as unset, because that is how compose files pass on what is not set.
"""

from collections.abc import Mapping

from omni_auth.domain.document import Document, Tree, read_into
from omni_auth.domain.problems import Loc, Place, Problem

PREFIX = "OMNIROUTE__"


def apply(document: Document, env: Mapping[str, str]) -> None:
    """Put the overrides of ``env`` into the document's tree; what cannot be put there becomes a problem."""
    if document.tree is None:
        document.tree = {}
    if not isinstance(document.tree, dict):
        return  # the schema says what is wrong with that
    found = sorted((name, text) for name, text in env.items() if name.upper().startswith(PREFIX) and text.strip())
    for name, text in found:
        parts = [part.lower() for part in name[len(PREFIX) :].split("__")]
        if not all(parts):
            document.problems.append(Problem((), "not the path of a key", Place(0, name)))
            continue
        _put(document, document.tree, parts, name, text)


def _put(document: Document, root: Tree, parts: list[str], name: str, text: str) -> None:
    holder: Tree = root
    loc: Loc = ()
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(holder, list):
            if not part.isascii() or not part.isdigit() or len(part) > 6 or int(part) >= len(holder):
                problem = f"the list has no item {part} (it has {len(holder)}, counted from 0)"
                document.problems.append(Problem(loc, problem, Place(0, name)))
                return
            index = int(part)
            loc = (*loc, index)
            document.places.note(loc, Place(0, name))
            if last:
                holder[index] = read_into(document, text, loc, name)
                return
            if not isinstance(holder[index], dict | list):
                holder[index] = {}
            holder = holder[index]
        elif isinstance(holder, dict):
            key = next((known for known in holder if known.lower() == part), part)
            loc = (*loc, key)
            if last:
                document.places.note(loc, Place(0, name))
                holder[key] = read_into(document, text, loc, name)
                return
            if not isinstance(holder.get(key), dict | list):
                document.places.note(loc, Place(0, name))
                holder[key] = {}
            holder = holder[key]
        else:
            document.problems.append(Problem(loc, "not a mapping that could be overridden", Place(0, name)))
            return
