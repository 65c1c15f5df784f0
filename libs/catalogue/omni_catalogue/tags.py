"""Tags of requests: words that a key or its user gives them, for limits and reports to go by."""

import re

from omni_wire.errors import InvalidRequest

HEADER = "x-omniroute-tags"
MOST, LONGEST = 16, 64
SHAPE = "letters, digits and . _ : @ / = + -"
_TAG = re.compile(rf"[A-Za-z0-9._:@/=+-]{{1,{LONGEST}}}")


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def read(header: str) -> tuple[str, ...]:
    """Those of the header, each once. Raises ``InvalidRequest``."""
    found = tuple(dict.fromkeys(filter(None, map(str.strip, header.split(",")))))
    if len(found) > MOST:
        raise InvalidRequest(f"{HEADER} has {len(found)} tags, and at most {MOST} are taken", param=HEADER)
    if not all(map(is_tag, found)):
        raise InvalidRequest(
            f"{HEADER}: a tag has 1 to {LONGEST} characters, {SHAPE}; several have commas between them", param=HEADER
        )
    return found
