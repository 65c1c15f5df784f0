"""What the translator needs from outside."""

from collections.abc import Iterable
from typing import Protocol

from omni_core.ports.translator import EncodeCall, StreamCall

from omni_translator.domain.guards.request import Finding
from omni_translator.domain.losses import Loss


class Metrics(Protocol):
    """Counts what was done. Labels are bounded by whoever implements it."""

    def request(self, call: EncodeCall, outcome: str) -> None:
        """``outcome`` is "lossless", "lossy", "refused" or "invalid"."""
        ...

    def answer(self, call: StreamCall, outcome: str) -> None:
        """``outcome`` is "finished", "interrupted", "failed" or "abandoned"."""
        ...

    def losses(self, call: EncodeCall | StreamCall, losses: tuple[Loss, ...]) -> None: ...

    def bytes(self, call: EncodeCall | StreamCall, flow: str, count: int) -> None:
        """``flow`` is "request_in", "request_out", "answer_in" or "answer_out"."""
        ...

    def rules(self, names: Iterable[str]) -> None:
        """These of the product's own rules have changed something."""
        ...

    def guards(self, findings: Iterable[Finding]) -> None:
        """What the guards found of a request or an answer."""
        ...

    def vault(self, outcome: str, count: int = 1) -> None:
        """``outcome`` is "kept", "refused" (too large, or the store is too full), "restored", "missing", "unfit" or
        "failed"."""
        ...


class Vault(Protocol):
    """Where entries wait between an answer and a later request, by their principal (a key's id) and a call's id.

    Neither method raises or takes longer than its deadline: what cannot be had in time is not there.
    """

    async def get(self, principal: str, call_ids: Iterable[str]) -> dict[str, bytes]: ...

    async def put(self, principal: str, call_id: str, entry: bytes) -> None: ...
