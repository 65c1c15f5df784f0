"""A login under way: what has to be remembered between its beginning and its end."""

import hashlib
from collections.abc import Mapping

import msgspec

# ms. A person who takes longer begins anew.
LASTS_MS = 300_000


class Flow(msgspec.Struct, frozen=True):
    """``id`` gives no state away; ``flow`` is "code" or "device". ``ends`` in epoch ms, ``interval`` in ms. ``account``
    is what it shall be called, "" for what the provider calls its owner."""

    id: str
    kind: str
    account: str
    flow: str
    actor: str
    ends: int
    state: str = ""
    verifier: str = ""
    redirect: str = ""
    device_code: str = ""
    interval: int = 5_000
    client_id: str = ""
    client_secret: str = ""
    parameters: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Flow({self.kind!r}, {self.flow!r})"


def flow_id(state: str) -> str:
    """What a flow is called, made of its state."""
    return hashlib.sha256(f"flow\n{state}".encode()).hexdigest()[:32]
