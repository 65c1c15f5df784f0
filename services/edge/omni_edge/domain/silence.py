"""How long a client that asked for a stream hears nothing before its answer has a head.

Only then is a body looked into here, and never of a request that is answered sooner.
"""

import math

from omni_catalogue.rules import Rules
from omni_catalogue.snapshot import Snapshot
from omni_wire.body import Body
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_edge.domain.surfaces import Role, Surface, model_in


class Silence:
    """In seconds, by the rule ``keep_alive`` of a snapshot; ``usual`` where it says nothing, infinite where it is off.

    A provider's own rule holds from the head on, which says who answers.
    """

    def __init__(self, usual: float, snapshot: Snapshot | None = None) -> None:
        self._usual = usual
        self._combos: dict[str, float] = {}
        self._keys: dict[str, float] = {}
        if snapshot is not None:
            self._usual = _seconds(snapshot.rules, usual)
            self._combos = {combo.name: _seconds(combo.rules, usual) for combo in snapshot.combos if _says(combo.rules)}
            self._keys = {key.id: _seconds(key.rules, usual) for key in snapshot.keys if _says(key.rules)}
        self._shortest = min(self._usual, *self._combos.values(), math.inf)

    def shortest(self, key_id: str) -> float:
        """For any model."""
        own = self._keys.get(key_id)
        return self._shortest if own is None else own

    def of(self, key_id: str, model: str) -> float:
        own = self._keys.get(key_id)
        return self._combos.get(model, self._usual) if own is None else own


def _says(rules: Rules) -> bool:
    return rules.keep_alive is not None


def _seconds(rules: Rules, usual: float) -> float:
    seconds = rules.keep_alive
    return usual if not seconds else seconds if seconds > 0 else math.inf


def stream_asked_of(surface: Surface, path: str, body: bytes) -> str | None:
    """The model that a request wants a stream of, which may be empty; None when it wants none, or cannot be read."""
    if surface.role is not Role.COMPLETE:
        return None
    if surface.verb:
        return model_in(surface, path) if surface.stream else None
    try:
        opened = Body(body)
        stream, model = opened.get("stream"), opened.get("model")
    except WireError:
        return None
    if stream is True or (stream is None and surface.format is WireFormat.OLLAMA_CHAT):
        return model if isinstance(model, str) else ""
    return None
