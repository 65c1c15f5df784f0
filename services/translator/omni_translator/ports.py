"""What the translator needs from outside."""

from typing import Protocol

from omni_core.ports.translator import EncodeCall, StreamCall

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
