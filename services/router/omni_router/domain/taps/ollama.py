"""Ollama (docs.ollama.com/api/chat): one JSON object a line, the last of them ``done``, with the counts."""

from typing import Any

import msgspec
from omni_wire.errors import UpstreamFailed
from omni_wire.ndjson import NdjsonSplitter
from omni_wire.surrogates import decode
from omni_wire.usage import Usage, count_of, unreadable

from omni_router.domain.taps.base import (
    NOT_JSON,
    StreamTap,
    broke_off,
    decode_answer,
    not_json,
    refuse_error,
    tokens_in,
)


class _Message(msgspec.Struct):
    content: Any = None
    thinking: Any = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


class _Answer(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw()
    done: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_LINE = msgspec.json.Decoder(_Line)
_ANSWER = msgspec.json.Decoder(_Answer)


def _usage(found: _Line | _Answer) -> Usage | None:
    if found.prompt_eval_count is None and found.eval_count is None:
        return None
    return Usage(
        count_of(found.prompt_eval_count),
        output_tokens=count_of(found.eval_count),
        suspect=unreadable(found.prompt_eval_count, found.eval_count),
    )


class OllamaStreamTap(StreamTap):
    """Blank lines are left out: they are broken JSON to Ollama's client for Python."""

    __slots__ = ()

    ending = b"\n"

    def __init__(self) -> None:
        super().__init__()
        self._splitter = NdjsonSplitter()

    def _keep(self, raw: bytes) -> bool:
        if self._done:
            return False
        try:
            line = decode(_LINE, raw)
        except msgspec.ValidationError:
            self.begun = True  # a vendor's own
            return True
        except NOT_JSON as error:
            not_json(raw, error)
            return False
        if line.error is not None:
            raise broke_off(raw)
        self.begun = True
        message = line.message
        if message is not None:
            self._said(message.thinking, message.content)
            if len(message.tool_calls) > len(b"null"):
                self._events += 1
                self._bytes += len(message.tool_calls)
        if line.done is True:
            self._done = True
            self.finish_reason = line.done_reason if isinstance(line.done_reason, str) else "stop"
            self._used(_usage(line))
        return True


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_ANSWER, body, "an answer of Ollama's")
    if answer.error is not None:
        refuse_error(body)
    if not bytes(answer.message).startswith(b"{"):
        raise UpstreamFailed("the provider's answer has no message")
    if answer.done is False:
        raise UpstreamFailed("the provider gave an incomplete answer: it is not done")
    return _usage(answer), tokens_in(len(answer.message))
