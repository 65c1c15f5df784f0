"""What the stream machines of formats in AWS's event stream encoding share: framing, deferred errors, exceptions."""

from abc import ABC, abstractmethod
from typing import Final

from omni_wire.aws_event_stream import MessageSplitter
from omni_wire.errors import WireError, upstream_message

from omni_translator.domain.events import Event, Failed
from omni_translator.domain.fields import from_json
from omni_translator.domain.model import Json

_MAX_MESSAGE: Final = 2000  # characters, of a provider's own
# By an exception's type, as a stream names it (docs.aws.amazon.com/bedrock/latest/APIReference, ConverseStreamOutput
# and CommonErrors); Kiro's begin with a capital. Where the model failed (408, 424 there) the request is not to blame,
# as a status below 500 would say.
_STATUS: Final = {
    "validationException": 400,
    "accessDeniedException": 403,
    "unrecognizedClientException": 403,
    "resourceNotFoundException": 404,
    "throttlingException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}


class EventStreamDecoder(ABC):
    """Base of the stream decoders. A subclass reads one event in ``_read``, by its name, and closes in ``_close``."""

    __slots__ = ("_done", "_error", "_splitter")

    def __init__(self) -> None:
        self._splitter = MessageSplitter()
        self._error: WireError | None = None
        self._done = False

    @property
    def error(self) -> WireError | None:
        return self._error

    def feed(self, chunk: bytes) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        if self._done:
            return events
        try:
            for message in self._splitter.feed(chunk):
                kind = message.text(":message-type")
                if kind == "event":
                    self._read(message.text(":event-type"), _payload(message.payload), events)
                elif kind == "exception":
                    self._fail(message.text(":exception-type"), upstream_message(message.payload), events)
                elif kind == "error":
                    self._fail(message.text(":error-code"), message.text(":error-message"), events)
                if self._done:
                    return events
            self._error = self._splitter.error
        except WireError as error:
            self._error = error
            if not events:
                raise
        return events

    def end(self) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        if not self._done:
            self._done = True
            self._close(events)
        return events

    def _fail(self, kind: str, message: str, events: list[Event]) -> None:
        said = ": ".join(word for word in (kind, message) if word) or "no details given"
        events.append(Failed(said[:_MAX_MESSAGE], _STATUS.get(kind[:1].lower() + kind[1:], 0)))
        self._done = True

    @abstractmethod
    def _read(self, name: str, payload: Json, events: list[Event]) -> None:
        """Say what one event makes certain."""

    @abstractmethod
    def _close(self, events: list[Event]) -> None:
        """Say what the end of the stream makes certain."""


def _payload(raw: bytes) -> Json:
    if not raw.strip():
        return {}
    payload = from_json(raw)
    if not isinstance(payload, dict):
        raise WireError("an event must be an object")
    return payload
