"""What the vault may keep of an answer, gathered from its events as they pass."""

from io import StringIO

import msgspec

from omni_translator.domain.events import Event, PartDelta, PartEnded, PartStarted, Started
from omni_translator.domain.model import Part, Reasoning, ToolCall
from omni_translator.domain.vault import MAX_CHARS


class Keeper:
    """``parts`` are the answer's, thoughts and calls whole, of the others no text. Gives up (``parts`` is None) beyond
    ``MAX_CHARS`` characters."""

    __slots__ = ("_head", "_room", "_text", "answer_id", "parts")

    def __init__(self) -> None:
        self.answer_id = ""
        self.parts: list[Part] | None = []
        self._head: Part | None = None
        self._text: StringIO | None = None  # of the part that is open, where it is wanted
        self._room = MAX_CHARS

    def see(self, event: Event) -> None:
        if type(event) is PartDelta:  # by far the most
            if self._text is not None:
                self._write(event.text)
        elif isinstance(event, PartStarted):
            self._head = event.part
            self._text = None
            if self.parts is not None and isinstance(event.part, Reasoning | ToolCall):
                self._text = StringIO()
                self._write(event.part.text if isinstance(event.part, Reasoning) else event.part.arguments)
        elif isinstance(event, PartEnded):
            self._close(event)
        elif isinstance(event, Started):
            self.answer_id = event.id

    def _write(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            self.parts = self._text = None
        elif self._text is not None:
            self._text.write(text)

    def _close(self, event: PartEnded) -> None:
        part, text = self._head, self._text
        self._head = self._text = None
        if self.parts is None or part is None:
            return
        self._room -= len(event.signature)
        if isinstance(part, Reasoning) and text is not None:
            part = msgspec.structs.replace(part, text=text.getvalue(), signature=event.signature or part.signature)
        elif isinstance(part, ToolCall) and text is not None:
            part = msgspec.structs.replace(part, arguments=text.getvalue())
        self.parts.append(part)
