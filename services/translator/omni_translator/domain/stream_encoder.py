"""What the stream encoders of most formats share: one place that says which event is told how."""

from abc import ABC, abstractmethod

from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.events import (
    Event,
    Failed,
    Finished,
    KeepAlive,
    OfChoice,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
)
from omni_translator.domain.losses import Loss, Losses
from omni_translator.domain.model import Part


class EventEncoder(ABC):
    """Base of stream encoders: see ``omni_translator.domain.codec.StreamEncoder``. A subclass writes each event as its
    format has it; usage is kept for the end, and of several answers only the first is told unless it says otherwise."""

    __slots__ = ("_losses", "_reply", "_usage")

    def __init__(self, reply: Reply, losses: Losses) -> None:
        self._reply = reply
        self._losses = losses
        self._usage: Usage | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        return self._losses.all()

    def emit(self, event: Event) -> bytes:
        if type(event) is PartDelta:
            return self._say(event.text)
        match event:
            case UsageReported():
                self._usage = event.usage if self._usage is None else self._usage.merge(event.usage)
                return b""
            case PartStarted():
                return self._begin(event.part)
            case PartEnded():
                return self._end(event)
            case Started():
                return self._start(event)
            case Finished():
                return self._finish(event)
            case OfChoice():
                return self._other(event)
            case Failed():
                return self._fail(event)
            case KeepAlive():
                return self._keep_alive()
            case _:
                return b""

    @abstractmethod
    def _start(self, event: Started) -> bytes: ...

    @abstractmethod
    def _begin(self, part: Part) -> bytes: ...

    @abstractmethod
    def _say(self, text: str) -> bytes: ...

    @abstractmethod
    def _end(self, event: PartEnded) -> bytes: ...

    @abstractmethod
    def _finish(self, event: Finished) -> bytes: ...

    def _other(self, event: OfChoice) -> bytes:
        self._losses.only_one()
        return b""

    @abstractmethod
    def _fail(self, event: Failed) -> bytes: ...

    def _keep_alive(self) -> bytes:
        return b": keep-alive\n\n"
