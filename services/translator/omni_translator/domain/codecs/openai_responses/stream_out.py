"""A Responses stream, written. A whole answer is the ``response`` object that ends it.

What clients need of it (OpenAI's SDKs, Codex): ``response.created`` first; items and parts added before their deltas;
each item whole in its ``response.output_item.done``; ``response.completed`` with all of them; numbers without gaps.

The thoughts of other formats are told as summaries: those are what clients show, and what Codex sends back next turn.
"""

from typing import Final

import msgspec
from omni_wire.errors import render_frame
from omni_wire.told_error import error_of

from omni_translator.domain.citations import KEY, annotations, take_citations, take_late, tells_late
from omni_translator.domain.codec import ClientTool, Encoded, Reply
from omni_translator.domain.codecs.openai_responses.answer import declare, write_end, write_usage
from omni_translator.domain.codecs.openai_responses.content import HOME
from omni_translator.domain.codecs.openai_responses.items import ITEM
from omni_translator.domain.codecs.openai_responses.turns import belongs
from omni_translator.domain.events import (
    Failed,
    Finished,
    PartEnded,
    Started,
    unfold,
)
from omni_translator.domain.fields import gather, overlay, quoted, to_json
from omni_translator.domain.logprobs import take_from_part, take_told
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    FinishReason,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)
from omni_translator.domain.plain import text_of_input
from omni_translator.domain.stream_encoder import EventEncoder

_AS_NAMED: Final = ClientTool("")


def encode_response(response: Response, reply: Reply) -> Encoded:
    encoder = Encoder(reply)
    for event in unfold(response):
        if not isinstance(event, Finished):
            encoder.emit(event)
    extra = encoder.weigh(response.extra)
    encoder.close()
    body = encoder.conclude(response.finish, response.finish_detail, response.stop_sequence, extra)
    return Encoded(to_json(body), encoder.losses)


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is a few joined byte strings."""

    __slots__ = (
        "_called",
        "_head",
        "_home",
        "_id",
        "_index",
        "_item",
        "_items",
        "_mid",
        "_origin",
        "_part",
        "_place",
        "_response",
        "_said",
        "_sequence",
        "_tail",
        "_texts",
        "_thought",
        "_tool",
        "_waiting",
    )

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("OpenAI Responses"))
        self._home, self._origin = False, HOME
        self._id = ""  # what the ids of items are made of
        self._response: Json = {}
        self._sequence = 0
        self._items: list[Json] = []  # those that are done
        self._item: Json = {}  # the one that is open, as far as it has come; empty: none is
        self._index = 0  # of that item
        self._thought: Reasoning | None = None  # the last one of that item
        self._part: Part | None = None  # the open part; None: it cannot be said
        self._place: Json = {}  # where the open part stands
        self._texts: list[str] = []
        self._head, self._mid, self._tail = b"", b"", b""  # around a delta's number and its text; empty: see ``_first``
        self._said: list[tuple[str, Json]] = []  # the texts of a foreign answer, and what holds each once it is done
        self._waiting: tuple[Text, str, Json] | None = (
            None  # the last text, its end and what that brought, until nothing
        )
        # more can be told of it
        self._tool = _AS_NAMED
        self._called = False

    def _finish(self, event: Finished) -> bytes:
        extra = self.weigh(event.extra)
        last = self.close()
        response = self.conclude(event.reason, event.detail, event.stop_sequence, extra)
        return last + self._frame(f"response.{response['status']}", {"response": response})

    def _fail(self, event: Failed) -> bytes:
        error = error_of(event.message, event.status)
        return render_frame(error, HOME, self._id, sequence_number=self._sequence)

    def _frame(self, kind: str, members: Json) -> bytes:
        body = to_json({"type": kind, "sequence_number": self._sequence} | members)
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)

    # ---- the response ----

    def _start(self, event: Started) -> bytes:
        self._home, self._origin = event.origin is HOME, event.origin
        name = self._reply.id or event.id
        self._id = name.removeprefix("resp_")
        self._response = {
            "id": name,
            "object": "response",
            "created_at": self._reply.created,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "model": self._reply.model or event.model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": None,
            "metadata": {},
        }
        return b"".join(
            self._frame(kind, {"response": self._response}) for kind in ("response.created", "response.in_progress")
        )

    def weigh(self, extra: Json) -> Json:
        """Say how likely the tokens of the last text were, as other formats tell only at the end: in the items that are
        still to be told whole. What ``extra`` tells beyond."""
        if self._home:
            return extra
        extra = self._cite(extra)
        tokens, rest = take_told(extra, self._origin)
        if not tokens:
            return rest
        if self._waiting is not None:
            self._waiting[2]["logprobs"] = tokens
            self._losses.approximated("content.logprobs", "told with the whole answer, not with the text")
            return rest
        for item in (self._item, *reversed(self._items)):
            for content in reversed(item.get("content", ())):
                if content.get("type") == "output_text":
                    content["logprobs"] = tokens
                    self._losses.approximated("content.logprobs", "told with the whole answer, not with the text")
                    return rest
        return extra

    def _cite(self, extra: Json) -> Json:
        """Say what the texts cite, as other formats tell only at the end. What ``extra`` tells beyond."""
        late, rest = take_late(extra, self._origin, [text for text, _ in self._said])
        for number, citation in late:
            text, content = self._said[number]
            content.setdefault(KEY, []).extend(annotations([citation], len(text)))
            if self._waiting is None or number < len(self._said) - 1:
                self._losses.approximated("content.annotations", "told with the whole answer, not with the text")
        return rest

    def conclude(self, reason: FinishReason | None, detail: str, stop_sequence: str, extra: Json) -> Json:
        """The whole response, every item of it being done."""
        status, details = write_end(
            reason, detail, stop_sequence, home=self._home, called=self._called, losses=self._losses
        )
        response = self._response | {"status": status, "incomplete_details": details, "output": self._items}
        if self._usage is not None:
            response["usage"] = write_usage(self._usage)
        if self._home:
            overlay(response, extra)
        else:
            self._losses.unknown(extra)
        return response

    # ---- items ----

    def _open(self, item: Json) -> bytes:
        self._index = len(self._items)
        self._item = item
        return self._frame("response.output_item.added", {"output_index": self._index, "item": item})

    def close(self) -> bytes:
        """End the item that is open."""
        last = self._tell()
        item, self._item, self._thought = self._item, {}, None
        if not item:
            return last
        self._items.append(item)
        return last + self._frame("response.output_item.done", {"output_index": self._index, "item": item})

    def _name(self, part: Part, prefix: str) -> str:
        """The id of a new item, to be asked for once none is open."""
        known = "" if isinstance(part, Opaque) or not self._home else part.item
        return known or f"{prefix}_{self._id}_{len(self._items)}"

    # ---- parts ----

    def _begin(self, part: Part) -> bytes:
        declare(part, self._home, self._losses)
        last = self._tell()
        self._part, self._texts, self._head = part, [], b""
        return last + self._begun(part)

    def _begun(self, part: Part) -> bytes:
        match part:
            case Text() | Refusal():
                refusal = isinstance(part, Refusal)
                out = self._in_message(part) + self._added(_content(part, ""))
                self._deltas(
                    "response.refusal.delta" if refusal else "response.output_text.delta", logprobs=not refusal
                )
                return out + self._say(part.text) if part.text else out
            case Reasoning():
                # Its item begins with its first text: an empty thought may not be worth one.
                out = b"" if self._thought is not None and belongs(self._thought, part) else self.close()
                return out + self._say(part.text) if part.text else out
            case ToolCall():
                return self.close() + self._begin_call(part)
            case Opaque() if part.origin is HOME and part.slot == ITEM:
                return self.close() + self._open(dict(part.data))
            case Opaque() if part.origin is HOME:
                return self._in_message(part) + self._added(part.data)
            case _:
                self._part = None
                return b""

    def _say(self, text: str) -> bytes:
        opening = b"" if self._head else self._first()
        self._texts.append(text)
        if not self._head:
            return opening
        number, self._sequence = self._sequence, self._sequence + 1
        return opening + self._head + b"%d" % number + self._mid + quoted(text) + self._tail

    def _first(self) -> bytes:
        """What the first text of a thought brings before it. Other parts without deltas tell all at their end."""
        return self._begin_thought(self._part) if isinstance(self._part, Reasoning) else b""

    def _deltas(self, kind: str, *, logprobs: bool = False) -> None:
        """Say texts of the open part as deltas of that kind from here on."""
        self._head = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind.encode(), kind.encode())
        self._mid = b"," + to_json(self._place)[1:-1] + b',"delta":'
        self._tail = b',"logprobs":[]}\n\n' if logprobs else b"}\n\n"

    def _end(self, event: PartEnded) -> bytes:
        part, self._part, self._head = self._part, None, b""
        if event.signature and not (isinstance(part, Reasoning) and part.origin is HOME):
            self._losses.signature()
        if not self._home:
            rest = event.extra
            if part is not None:
                rest = take_citations(part, take_from_part(part, rest)[1])[1]
            self._losses.unknown(rest, "content")
        text = "".join(self._texts)
        match part:
            case Text() | Refusal():
                return self._end_content(part, text, event.extra)
            case Reasoning():
                return self._end_thought(part, text, event)
            case ToolCall():
                return self._end_call(part, text, event.extra)
            case Opaque() if part.slot == ITEM:
                self._item |= event.extra
                return self.close()
            case Opaque():
                return self._done(part.data | event.extra)
            case _:
                return b""

    def _kept(self, body: Json, first: Json, last: Json) -> Json:
        """``body`` with what its own format said beyond, at a part's beginning and at its end."""
        if self._home and (first or last):
            beyond = dict(first)
            gather(beyond, last)
            overlay(body, beyond)
        return body

    # ---- the parts of a message ----

    def _in_message(self, part: Text | Refusal | Opaque) -> bytes:
        """Make sure that the open item is the message that holds ``part``."""
        fits = isinstance(part, Opaque) or not self._home or part.item in ("", self._item.get("id"))
        if fits and self._item.get("type") == "message":
            return b""
        last = self.close()
        return last + self._open(
            {
                "id": self._name(part, "msg"),
                "type": "message",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
        )

    def _added(self, content: Json) -> bytes:
        self._place = {
            "item_id": self._item["id"],
            "output_index": self._index,
            "content_index": len(self._item.get("content", ())),
        }
        return self._frame("response.content_part.added", self._place | {"part": content})

    def _done(self, content: Json) -> bytes:
        self._item.setdefault("content", []).append(content)
        if self._item["type"] == "message":
            self._item["status"] = "completed"
        return self._frame("response.content_part.done", self._place | {"part": content})

    def _end_content(self, part: Text | Refusal, text: str, extra: Json) -> bytes:
        if isinstance(part, Refusal):
            content = self._kept(_content(part, text), part.extra, extra)
            return self._frame("response.refusal.done", self._place | {"refusal": text}) + self._done(content)
        held: Json = {}
        if not self._home:
            tokens = take_from_part(part)[0] + take_from_part(part, extra)[0]
            cited = take_citations(part)[0] + take_citations(part, extra)[0]
            held = ({"logprobs": tokens} if tokens else {}) | ({KEY: annotations(cited, len(text))} if cited else {})
            self._said.append((text, held))
        self._waiting = part, text, extra if self._home else held
        return b"" if tells_late(self._origin) and not self._home else self._tell()

    def _tell(self) -> bytes:
        """The end of the text that waits, if one does."""
        if self._waiting is None:
            return b""
        (part, text, extra), self._waiting = self._waiting, None
        content = self._kept(_content(part, text), part.extra, extra) if self._home else _content(part, text) | extra
        if not self._home:
            self._said[-1] = text, content
        tokens = [] if self._home else content["logprobs"]
        notes = content[KEY] if isinstance(content[KEY], list) else []
        added = [
            self._frame(
                "response.output_text.annotation.added", self._place | {"annotation_index": at, "annotation": note}
            )
            for at, note in enumerate(notes)
        ]
        said = self._frame("response.output_text.done", self._place | {"text": text, "logprobs": tokens})
        return b"".join(added) + said + self._done(content)

    # ---- thoughts ----

    def _begin_thought(self, part: Reasoning) -> bytes:
        out = b""
        if not self._item:
            out = self._open({"id": self._name(part, "rs"), "type": "reasoning", "summary": []})
        if part.full:
            out += self._added({"type": "reasoning_text", "text": ""})
            self._deltas("response.reasoning_text.delta")
            return out
        self._place = {
            "item_id": self._item["id"],
            "output_index": self._index,
            "summary_index": len(self._item["summary"]),
        }
        out += self._frame(
            "response.reasoning_summary_part.added", self._place | {"part": {"type": "summary_text", "text": ""}}
        )
        self._deltas("response.reasoning_summary_text.delta")
        return out

    def _end_thought(self, part: Reasoning, text: str, event: PartEnded) -> bytes:
        signature = (event.signature or part.signature) if part.origin is HOME else ""
        out = b""
        begun = bool(text)
        if self._home and not begun and (part.extra or event.extra or self._thought is not None):
            out, begun = self._begin_thought(part), True
            self._head = b""
        elif not self._item and (self._home or signature):
            out = self._open({"id": self._name(part, "rs"), "type": "reasoning", "summary": []})
        if begun and part.full:
            thought = self._kept({"type": "reasoning_text", "text": text}, part.extra, event.extra)
            out += self._frame("response.reasoning_text.done", self._place | {"text": text}) + self._done(thought)
        elif begun:
            thought = self._kept({"type": "summary_text", "text": text}, part.extra, event.extra)
            out += self._frame("response.reasoning_summary_text.done", self._place | {"text": text})
            out += self._frame("response.reasoning_summary_part.done", self._place | {"part": thought})
            self._item["summary"].append(thought)
        if signature:
            self._item["encrypted_content"] = signature
        self._thought = msgspec.structs.replace(part, signature=signature) if self._item else None
        return out

    # ---- calls ----

    def _begin_call(self, part: ToolCall) -> bytes:
        self._called = True
        self._tool = _AS_NAMED if self._home else self._reply.tools.get(part.name, _AS_NAMED)
        custom = part.freeform or self._tool.freeform
        item: Json = {
            "id": self._name(part, "ctc" if custom else "fc"),
            "type": "custom_tool_call" if custom else "function_call",
            "status": "in_progress",
            "call_id": part.id,
            "name": self._tool.name or part.name,
            "input" if custom else "arguments": "",
        }
        namespace = part.namespace or self._tool.namespace
        if namespace:
            item["namespace"] = namespace
        opening = self._open(self._kept(item, part.extra, {}))
        self._place = {"item_id": item["id"], "output_index": self._index}
        if part.freeform or not custom:  # else its text must first be taken out of its arguments
            self._call_deltas(custom)
        return opening + self._say(part.arguments) if part.arguments else opening

    def _call_deltas(self, custom: bool) -> None:
        what = "custom_tool_call_input" if custom else "function_call_arguments"
        self._deltas(f"response.{what}.delta")

    def _end_call(self, part: ToolCall, text: str, extra: Json) -> bytes:
        custom = part.freeform or self._tool.freeform
        out = b""
        if custom and not part.freeform:
            inner = text_of_input(text)
            if inner is None:
                self._losses.approximated("content.arguments", "not the one text that a freeform tool takes")
            text = text if inner is None else inner
            out = self._late(text, custom)
        elif not custom and not text.strip() and not self._home:  # clients read the arguments as JSON
            text = "{}"
            out = self._late(text, custom)
        key, what = ("input", "custom_tool_call_input") if custom else ("arguments", "function_call_arguments")
        out += self._frame(f"response.{what}.done", self._place | {key: text})
        self._item |= {key: text, "status": "completed"}
        self._kept(self._item, {}, extra)
        return out + self.close()

    def _late(self, text: str, custom: bool) -> bytes:
        """All of a call's text in one delta."""
        self._call_deltas(custom)
        out = self._say(text) if text else b""
        self._head = b""
        return out


def _content(part: Text | Refusal, text: str) -> Json:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
