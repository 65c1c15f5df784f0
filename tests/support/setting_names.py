"""Every environment variable our code reads, found in the code: so that a misspelt one in a manifest is seen."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from omni_core.settings import GRPC_PORTS
from omni_edge.settings import EdgeSettings

ROOT = Path(__file__).resolve().parents[2]
_SERVERS = ("REDIS", "NATS")

# Names the code puts together: what may stand for the hole. A template that is in no code any more yields nothing.
FAMILIES: dict[str, tuple[str, ...]] = {
    "OMNIROUTE_{}_ADDR": tuple(name.upper() for name in GRPC_PORTS),
    "OMNIROUTE_{}_URL": _SERVERS,
    "OMNIROUTE_{}_PASSWORD_FILE": _SERVERS,
    "OMNIROUTE_{}_USER": _SERVERS,
    "OMNIROUTE_EDGE_{}": tuple(field.upper() for field in EdgeSettings.__struct_fields__),
}


@functools.cache
def setting_names() -> frozenset[str]:
    """The literals that look like a variable's name, and the members of ``FAMILIES``."""
    constants: set[str] = set()
    templates: set[str] = set()
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"(OMNIROUTE|OTEL)_[A-Z0-9_]+|DATA_DIR|(API|DASHBOARD)_PORT", node.value):
                    constants.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                templates.add("".join(_piece(value) for value in node.values))
    made = {template.format(one) for template, holes in FAMILIES.items() if template in templates for one in holes}
    return frozenset(constants | made)


def _piece(value: ast.expr) -> str:
    return str(value.value) if isinstance(value, ast.Constant) else "{}"


def _sources() -> Iterator[Path]:
    for top in ("libs", "services", "dashboard"):
        yield from (path for path in (ROOT / top).rglob("*.py") if not {"build", "node_modules"} & set(path.parts))
