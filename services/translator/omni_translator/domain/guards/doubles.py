"""Bodies that say two things: a key that stands twice in one object is read once here, and perhaps the other way by
whom the body is relayed to, past every guard."""

import json

from omni_wire.errors import WireError


def refuse_doubles(body: bytes) -> None:
    """Raises ``WireError`` for a body in which a key stands twice, or that is no JSON."""
    try:
        json.loads(body, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except WireError:
        raise
    except (ValueError, RecursionError):
        raise WireError("the body is not JSON that a guard can read") from None


def _once(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) != len({key for key, _ in pairs}):
        raise WireError("a key stands twice in one object, and a guard of this gateway reads only one of them")
