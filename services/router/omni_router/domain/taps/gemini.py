"""Google Gemini (ai.google.dev/api/generate-content): each chunk an answer in little, as events or in one JSON array.

There is no last word: an answer is whole when each of its candidates has a finish reason, or the prompt was refused.
Every chunk may hold the usage up to it.
"""

from typing import Any

import msgspec
from omni_wire.errors import UpstreamError, UpstreamFailed, WireError
from omni_wire.json_array import JsonArraySplitter
from omni_wire.sse import MAX_EVENT_BYTES, parse_event
from omni_wire.surrogates import decode
from omni_wire.usage import Apart, Usage, apart, by_modality, count_of, unreadable

from omni_router.domain.taps.base import (
    NOT_JSON,
    StreamTap,
    broke_off,
    decode_answer,
    interrupted,
    not_json,
    refuse_error,
    tokens_in,
)


class _Part(msgspec.Struct):
    text: Any = None
    functionCall: msgspec.Raw = msgspec.Raw()  # noqa: N815 — Google's name


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct):
    index: Any = None
    content: _Content | None = None
    finishReason: Any = None  # noqa: N815


class _Counts(msgspec.Struct):
    promptTokenCount: Any = None  # noqa: N815
    cachedContentTokenCount: Any = None  # noqa: N815
    toolUsePromptTokenCount: Any = None  # noqa: N815
    candidatesTokenCount: Any = None  # noqa: N815
    thoughtsTokenCount: Any = None  # noqa: N815
    promptTokensDetails: msgspec.Raw = msgspec.Raw()  # noqa: N815
    candidatesTokensDetails: msgspec.Raw = msgspec.Raw()  # noqa: N815


class _Chunk(msgspec.Struct):
    candidates: list[_Candidate] | None = None
    promptFeedback: Any = None  # noqa: N815
    usageMetadata: _Counts | None = None  # noqa: N815 — every chunk has one, and most of it is of no interest
    error: Any = None


class _WholeCandidate(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    candidates: list[_WholeCandidate] | None = None
    promptFeedback: Any = None  # noqa: N815
    usageMetadata: _Counts | None = None  # noqa: N815
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_ANSWER = msgspec.json.Decoder(_Answer)


def _usage(found: _Counts | None) -> Usage | None:
    """Gemini's prompt leaves out what Google's own tools brought in, its candidates' count leaves out thoughts."""
    if found is None:
        return None
    cached, thought = count_of(found.cachedContentTokenCount), count_of(found.thoughtsTokenCount)
    given = max(count_of(found.promptTokenCount), cached) + count_of(found.toolUsePromptTokenCount)
    said = count_of(found.candidatesTokenCount)
    return Usage(
        given,
        cached,
        0,
        said + thought,
        thought,
        apart=_apart(found.promptTokensDetails, found.candidatesTokensDetails),
        suspect="" if given and said else unreadable(found.promptTokenCount, found.candidatesTokenCount),
    )


def _apart(prompt: msgspec.Raw, candidates: msgspec.Raw) -> Apart | None:
    """By modality (ai.google.dev/api/generate-content, ModalityTokenCount), of which nearly all is text."""
    if not any(kind in raw for raw in map(bytes, (prompt, candidates)) for kind in (b"AUDIO", b"IMAGE")):
        return None
    given, said = (
        by_modality(msgspec.json.decode(prompt or b"[]")),
        by_modality(msgspec.json.decode(candidates or b"[]")),
    )
    return apart(
        audio_input=given.get("AUDIO"),
        image_input=given.get("IMAGE"),
        audio_output=said.get("AUDIO"),
        image_output=said.get("IMAGE"),
    )


def _refusal(feedback: Any) -> str:
    """Why the prompt was refused; empty when it was not."""
    word = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return word if isinstance(word, str) and not word.endswith("_UNSPECIFIED") else ""


class GeminiStreamTap(StreamTap):
    """Server-sent events."""

    __slots__ = ("_ended", "_open")

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()  # candidates begun and not ended
        self._ended: set[int] = set()

    @property
    def complete(self) -> bool:
        return self._done or (self._finished and not self._open)

    def _keep(self, raw: bytes) -> bool:
        if self._done:
            return False
        data = parse_event(raw).data
        if data is None:
            return True
        if data == b"[DONE]":  # not Google's, but of some that stand in for it
            if not self.complete:
                raise UpstreamFailed("the provider ended the stream without a finish reason")
            self._done = True
            return True
        self._read(data)
        return True

    def _read(self, data: bytes) -> None:
        """One chunk. Raises ``UpstreamError``."""
        try:
            chunk = decode(_CHUNK, data)
        except msgspec.ValidationError:
            self.begun = True  # a vendor's own event
            return
        except NOT_JSON as error:
            not_json(data, error)
            return
        if chunk.error is not None:
            raise broke_off(data)
        for candidate in chunk.candidates or ():
            self._watch(candidate)
        if chunk.promptFeedback is not None and (word := _refusal(chunk.promptFeedback)):
            self.begun = self._finished = True
            self.finish_reason = self.finish_reason or word
        if chunk.usageMetadata is not None:
            self._used(_usage(chunk.usageMetadata))

    def _watch(self, candidate: _Candidate) -> None:
        index = count_of(candidate.index)
        reason = candidate.finishReason
        if isinstance(reason, str) and reason not in ("", "FINISH_REASON_UNSPECIFIED"):
            self._finished = True
            self._open.discard(index)
            self._ended.add(index)
            self.finish_reason = reason
            self.begun = True
        elif index not in self._ended:
            self._open.add(index)
        if candidate.content is None:
            return
        for part in candidate.content.parts or ():
            self.begun = self.begun or part.text != ""
            self._said(part.text)
            if len(part.functionCall) > len(b"null"):
                self._events += 1
                self._bytes += len(part.functionCall)


class GeminiArrayTap(GeminiStreamTap):
    """One JSON array, as a client gets that does not ask for ``alt=sse``: whole elements are relayed, byte for byte
    with what stands between them, and the last bracket only when the answer is whole."""

    __slots__ = ("_array", "_held", "_size")

    def __init__(self) -> None:
        super().__init__()
        self._array = JsonArraySplitter()
        self._held: list[bytes] = []  # what came since the last whole element
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        try:
            elements = self._array.feed(chunk)
        except WireError as error:
            self.failure = self._not_array(chunk, error)
            return b""
        self._held.append(chunk)
        self._size += len(chunk)
        if not elements:
            if self._size > 2 * MAX_EVENT_BYTES:  # the splitter bounds an element, but not the blanks around it
                self.failure = UpstreamFailed("the provider's stream is malformed: too much between two elements")
            return b""
        came = b"".join(self._held)
        good = 0
        for element in elements:
            try:
                self._read(element)
            except UpstreamError as error:
                self.failure = error
                break
            good = came.index(element, good) + len(element)  # next after what separates them, where no brace stands
        self._held = [came[good:]]
        self._size = len(came) - good
        return came[:good]

    def end(self) -> bytes:
        rest = b"".join(self._held)
        self._held = []
        if not self.complete:
            raise interrupted()
        # Half an element after an answer that is whole is none of it.
        return rest if rest.strip() == b"]" else b"]"

    def _not_array(self, chunk: bytes, error: WireError) -> UpstreamError:
        if not self.begun and chunk.lstrip().startswith(b"{"):
            try:
                refuse_error(chunk)
            except UpstreamError as failure:
                return failure
        return UpstreamFailed(f"the provider's stream is malformed: {error}")


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_ANSWER, body, "a Gemini answer")
    if answer.error is not None:
        refuse_error(body)
    if not answer.candidates and not _refusal(answer.promptFeedback):
        raise UpstreamFailed("the provider's answer has no candidates")
    size = sum(len(candidate.content) for candidate in answer.candidates or ())
    return _usage(answer.usageMetadata), tokens_in(size)
