"""The order chat can say: thoughts, then text, then calls, one of each first two."""

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Part, Reasoning, Refusal, Text, ToolCall


class OrderWatch:
    """Declares an order of parts that a chat message cannot keep. ``joins_text``: texts become one string."""

    __slots__ = ("_field", "_joins_text", "_losses", "_rank", "_thoughts")

    def __init__(self, losses: Losses, field: str, *, joins_text: bool) -> None:
        self._losses = losses
        self._field = field
        self._joins_text = joins_text
        self._rank = 0
        self._thoughts = 0

    def see(self, part: Part) -> None:
        if isinstance(part, Reasoning):
            rank = 0
            self._thoughts += 1
            if self._thoughts > 1:
                self._losses.approximated(self._field, "thoughts joined")
        elif isinstance(part, Text | Refusal):
            rank = 1 if isinstance(part, Text) else 2
            if self._joins_text and rank == self._rank:
                self._losses.approximated(self._field, "texts joined")
            if not self._joins_text:
                rank = 1
        elif isinstance(part, ToolCall):
            rank = 3
        else:
            return
        if rank < self._rank:
            self._losses.approximated(self._field, "order of thoughts, text and calls")
        self._rank = max(rank, self._rank)
