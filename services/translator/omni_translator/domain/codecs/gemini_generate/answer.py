"""A generateContent answer that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

import msgspec
from omni_wire.errors import WireError, upstream_message
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage, apart, by_modality, count_of, unreadable

from omni_translator.domain.choices import answers
from omni_translator.domain.citations import Citation, take_citations, take_late, to_gemini
from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.gemini_generate.calls import is_made, made_id
from omni_translator.domain.codecs.gemini_generate.content import PartReader, write_thought
from omni_translator.domain.codecs.gemini_generate.media import write_media
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields, camel
from omni_translator.domain.fields import json_object, overlay, to_json
from omni_translator.domain.logprobs import take_from_part, take_told
from omni_translator.domain.logprobs import to_gemini as likely_to_gemini
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Audio,
    Choice,
    Document,
    FinishReason,
    Image,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)
from omni_translator.domain.plain import INPUT

# ---- reasons --------------------------------------------------------------------------------------------------------

# google.genai.types.FinishReason and BlockedReason, version 3.4 (2026-11).
_REASONS: Final = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "CONTINUATION": FinishReason.LENGTH,
} | dict.fromkeys(
    (
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
        "JAILBREAK",
    ),
    FinishReason.CONTENT_FILTER,
)
_WORDS: Final = {
    FinishReason.STOP: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.PAUSE: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.OTHER: "OTHER",
}


def read_reason(word: str, *, calls: bool) -> tuple[FinishReason | None, str]:
    """The canonical reason, and the word itself where the reason does not say it all. Gemini ends an answer that calls
    functions like any other."""
    if word in ("", "FINISH_REASON_UNSPECIFIED"):
        return None, ""
    known = _REASONS.get(word, FinishReason.OTHER)
    if known is FinishReason.STOP and calls:
        return FinishReason.TOOL_CALLS, ""
    return known, "" if _WORDS[known] == word else word


def write_reason(
    reason: FinishReason, detail: str, stop_sequence: str, *, home: bool, calls: bool, losses: Losses
) -> str:
    """``calls`` says whether the answer held any."""
    if detail and home:
        return detail
    word = _WORDS[reason]
    odd = reason in (FinishReason.PAUSE, FinishReason.OTHER) or (reason is FinishReason.TOOL_CALLS and not calls)
    if detail or odd:
        losses.approximated("finish_reason", f"{detail or reason.value} is said as {word}")
    if reason is FinishReason.STOP_SEQUENCE:
        losses.approximated("finish_reason", "Gemini does not tell a stop sequence from an end")
    if stop_sequence:
        losses.dropped("stop_sequence")
    return word


def read_blocked(feedback: Any) -> str:
    """Why the prompt was refused; empty when it was not."""
    if not isinstance(feedback, dict):
        return ""
    word = feedback.get("blockReason", feedback.get("block_reason"))
    return word if isinstance(word, str) and word != "BLOCKED_REASON_UNSPECIFIED" else ""


# ---- usage ----------------------------------------------------------------------------------------------------------


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention, and the keys that have no place there.

    Gemini's prompt count includes what the cache gave and leaves out what Google's own tools brought in; its
    candidates' count leaves out thoughts. Ours include all of these.
    """
    if not isinstance(value, dict):
        return None, {}
    rest = camel(value)
    rest.pop("totalTokenCount", None)
    told = rest.pop("promptTokenCount", 0), rest.pop("candidatesTokenCount", 0)
    prompt, said = map(count_of, told)
    cached, thought = count_of(rest.pop("cachedContentTokenCount", 0)), count_of(rest.pop("thoughtsTokenCount", 0))
    brought = count_of(rest.pop("toolUsePromptTokenCount", 0))
    if brought:
        rest["toolUsePromptTokenCount"] = brought
    given, made = by_modality(rest.get("promptTokensDetails")), by_modality(rest.get("candidatesTokensDetails"))
    kinds = apart(
        audio_input=given.get("AUDIO"),
        image_input=given.get("IMAGE"),
        audio_output=made.get("AUDIO"),
        image_output=made.get("IMAGE"),
    )
    suspect = unreadable(*told)
    return Usage(max(prompt, cached) + brought, cached, 0, said + thought, thought, apart=kinds, suspect=suspect), rest


def write_usage(usage: Usage, rest: Json, losses: Losses) -> Json:
    """``rest`` is what ``read_usage`` left over, for an answer that goes home."""
    if usage.cache_write_tokens:
        losses.dropped("usage.cache_creation_input_tokens")
    brought = rest.get("toolUsePromptTokenCount", 0)
    out: Json = {
        "promptTokenCount": max(0, usage.input_tokens - brought),
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_input_tokens:
        out["cachedContentTokenCount"] = usage.cached_input_tokens
    if usage.reasoning_tokens:
        out["thoughtsTokenCount"] = usage.reasoning_tokens
    return out


# ---- parts ----------------------------------------------------------------------------------------------------------


class AnswerReader:
    """Reads an answer's parts in order, whole or chunk by chunk.

    Calls without an id get one from the answer's own (or, where it has none, from what they say) and their number.
    """

    __slots__ = ("_place", "calls")

    def __init__(self, place: str) -> None:
        self._place = place
        self.calls = 0

    def read(self, part: ProtoFields) -> Part:
        call = part.peek("functionCall")
        ids: dict[tuple[int, int], str] = {}
        if isinstance(call, dict):
            own = call.get("id")
            place = self._place or to_json([call.get("name"), call.get("args")]).decode()
            ids[0, 0] = own if isinstance(own, str) and own else made_id(place, self.calls)
            self.calls += 1
        return PartReader(ids).part(part, (0, 0))


def joins(last: Part | None, part: Part) -> bool:
    """Whether ``part`` goes on with what ``last`` says: one text or one thought over several parts, up to the first
    that carries anything beside its text."""
    if isinstance(part, Text):
        return isinstance(last, Text) and not last.extra
    if isinstance(part, Reasoning):
        return isinstance(last, Reasoning) and not last.extra and not last.signature
    return False


def says_nothing(part: Part) -> bool:
    """An empty text without anything beside it, as ends many a stream."""
    if isinstance(part, Reasoning):
        return not (part.text or part.extra or part.signature)
    return isinstance(part, Text) and not part.text and not part.extra


def alone(part: Part, data: Json) -> Part:
    """What stands with no text of its own and nothing to join is kept as it is: mostly a signature of what was said
    before, which no other format has a place for."""
    if isinstance(part, Text | Reasoning) and not part.text:
        return Opaque(origin=HOME, data=data)
    return part


class PartsOut:
    """What Gemini can say of an answer's parts; the rest is declared."""

    __slots__ = ("_cited", "_home", "_last", "_losses", "_texts", "calls", "spoke", "tokens")

    def __init__(self, home: bool, losses: Losses) -> None:
        self._home = home
        self._losses = losses
        self._last: Part | None = None
        self._texts: list[str] = []  # that are done, of a foreign answer
        self._cited: list[tuple[int, Citation]] = []  # with the number of the text
        self.calls = False
        self.spoke = False  # whether anything has been written
        self.tokens: list[Json] = []  # of the texts, where it is told how likely each was

    def declare(self, part: Part) -> bool:
        """Declare what ``part`` says that Gemini cannot; whether it can be said at all."""
        match part:
            case Opaque():
                if part.origin is not HOME:
                    self._losses.dropped(f"content.{part.kind}")
                    return False
                return True
            case Refusal():
                self._losses.approximated("content.refusal", "said as text")
            case ToolCall():
                if part.namespace:
                    self._losses.dropped("content.function_call.namespace")
            case Text() | Image() | Audio() | Document():
                pass
            case Reasoning():
                if part.signature and part.origin is not HOME:
                    self._losses.signature()
            case _:
                self._losses.unsayable(part, "content", "an answer")
                return False
        if not self._home:
            self.left(part)
        return True

    def left(self, part: Part, extra: Json | None = None) -> None:
        """Declare what is not known of a foreign part: its ``extra``, or what its end brought."""
        tokens, rest = take_from_part(part, extra)
        self.tokens += tokens
        cited, rest = take_citations(part, rest)
        self._cited += [(len(self._texts), citation) for citation in cited]
        self._losses.unknown(rest, "content")

    def said(self, text: str) -> None:
        """Remember a text that is done; what it cites counts its characters."""
        if not self._home:
            self._texts.append(text)

    def likely(self, extra: Json, origin: WireFormat, candidate: Json) -> Json:
        """Write how likely the tokens of a foreign answer were; what its ``extra`` says beyond."""
        tokens, rest = take_told(extra, origin)
        if tokens or self.tokens:
            candidate["logprobsResult"] = likely_to_gemini(self.tokens + tokens)
        return rest

    def grounded(self, extra: Json, origin: WireFormat, candidate: Json) -> Json:
        """Write what the texts of a foreign answer cite; what its ``extra`` says beyond."""
        late, rest = take_late(extra, origin, self._texts)
        cited = self._cited + late
        if cited:
            candidate["groundingMetadata"] = to_gemini(self._texts, cited)
        for _, citation in cited:
            if citation.quote:
                self._losses.dropped("content.citations.cited_text")
            self._losses.unknown(citation.extra, "content.annotations")
        return rest

    def speaks(self, part: Part) -> None:
        """Declare that ``part`` is read as one with what was said before. To be called where text is written."""
        self.spoke = True
        if self._home:
            return
        if isinstance(part, Text | Refusal):
            part = Text("")
        elif isinstance(part, Reasoning):
            part = Reasoning(text="", origin=HOME)
        if joins(self._last, part):
            self._losses.approximated("content", "texts joined")
        self._last = part

    def write(self, part: Part) -> Json | None:
        """A whole part, or None."""
        if not self.declare(part):
            return None
        block: Json | None
        match part:
            case Text() | Refusal():
                block = {"text": part.text} if part.text or self._home else None
                self.said(part.text)
            case Reasoning():
                block = write_thought(part) if part.text or self._home else None
            case ToolCall():
                self.calls = True
                block = self._call(part)
            case Image() | Audio() | Document():
                block = write_media(part, "", self._home, self._losses)
            case Opaque():
                block = part.data
            case _:
                block = None
        if block is not None:
            self.speaks(part)
        if block is None or isinstance(part, Opaque) or not self._home:
            return block
        return overlay(block, part.extra)

    def _call(self, call: ToolCall) -> Json:
        arguments: Json | None = {INPUT: call.arguments} if call.freeform else {}
        if call.freeform:
            self._losses.approximated("content.custom_tool_call", "its text is given as a function's argument")
        elif call.arguments.strip():
            arguments = json_object(call.arguments)
        if arguments is None:
            self._losses.approximated("content.tool_calls.function.arguments", "not a JSON object; given empty")
            arguments = {}
        named = {} if not call.id or (self._home and is_made(call.id)) else {"id": call.id}
        signed = {"thoughtSignature": call.signature} if call.signature else {}
        return {"functionCall": named | {"name": call.name, "args": arguments}} | signed


# ---- a whole answer -------------------------------------------------------------------------------------------------


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but an answer with a candidate or a refusal of the prompt, errors included."""
    top = ProtoFields.of_body(body)
    if top.peek("error"):
        raise WireError(upstream_message(body))
    for envelope in ("createTime", "error"):
        top.take(envelope)
    blocked = read_blocked(top.peek("promptFeedback"))
    candidates = top.items("candidates") or []
    if not candidates and not blocked:
        raise WireError("candidates must hold at least one candidate", "candidates")
    answer_id, model = top.text("responseId") or "", top.text("modelVersion") or ""
    first = Choice(parts=(), finish=FinishReason.CONTENT_FILTER, finish_detail=blocked)
    others: list[Choice] = []
    if candidates:
        first, *others = [
            _read_candidate(ProtoFields(candidate, ("candidates", at)), AnswerReader(place(answer_id, at)))
            for at, candidate in enumerate(candidates)
        ]
        if first.extra:
            top.put_back("candidates", [first.extra])
    usage, usage_rest = read_usage(top.take("usageMetadata"))
    if usage_rest:
        top.put_back("usageMetadata", usage_rest)
    return Response(
        origin=HOME,
        id=answer_id,
        model=model,
        parts=first.parts,
        finish=first.finish,
        finish_detail=first.finish_detail,
        usage=usage,
        others=tuple(others),
        extra=top.rest(),
    )


def place(answer_id: str, at: int) -> str:
    """What the ids of a candidate's calls are made of, where they have none."""
    return f"{answer_id}#{at}" if at else answer_id


def _read_candidate(candidate: ProtoFields, reader: AnswerReader) -> Choice:
    parts = _read_parts(candidate, reader)
    candidate.take("index")
    reason, detail = read_reason(candidate.text("finishReason") or "", calls=reader.calls > 0)
    return Choice(parts=parts, finish=reason, finish_detail=detail, extra=candidate.rest())


def _read_parts(candidate: ProtoFields, reader: AnswerReader) -> tuple[Part, ...]:
    content = candidate.child("content")
    if content is None:
        return ()
    content.take("role")
    heads: list[Part] = []
    texts: list[list[str]] = []  # of each, when it is a text or a thought
    for number, data in enumerate(content.items("parts") or ()):
        part = reader.read(ProtoFields.of_copy(data, ((content.place, "parts"), number)))
        if says_nothing(part):
            continue
        if heads and joins(heads[-1], part):
            heads[-1] = part
        else:
            part = alone(part, data)
            heads.append(part)
            texts.append([])
        if isinstance(part, Text | Reasoning):
            texts[-1].append(part.text)
    return tuple(
        msgspec.structs.replace(head, text="".join(said)) if isinstance(head, Text | Reasoning) else head
        for head, said in zip(heads, texts, strict=True)
    )


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("Gemini")
    home = response.origin is HOME
    written = [_write_candidate(at, choice, response.origin, losses) for at, choice in enumerate(answers(response))]
    refused = home and not written[0]["content"]["parts"] and blocks(response.extra)
    for candidate in written:
        candidate["content"]["parts"] = candidate["content"]["parts"] or [{"text": ""}]
    body = envelope(
        [] if refused else written,
        response.usage,
        reply.id or response.id,
        reply.model or response.model,
        response.extra if home else None,
        losses,
    )
    if home:
        for candidate, other in zip(written[1:], response.others, strict=True):
            overlay(candidate, other.extra)
    return Encoded(to_json(body), losses.all())


def _write_candidate(at: int, choice: Choice, origin: WireFormat, losses: Losses) -> Json:
    """One of the answers, its ``extra`` as in a whole one."""
    home = origin is HOME
    writer = PartsOut(home, losses)
    parts = [block for part in choice.parts if (block := writer.write(part)) is not None]
    candidate: Json = {"content": {"parts": parts, "role": "model"}}
    if choice.finish is not None:
        candidate["finishReason"] = write_reason(
            choice.finish, choice.finish_detail, choice.stop_sequence, home=home, calls=writer.calls, losses=losses
        )
    candidate["index"] = at
    if not home:
        rest = writer.likely(choice.extra, origin, candidate)
        losses.unknown(writer.grounded(rest, origin, candidate))
    return candidate


def blocks(extra: Json) -> bool:
    """Whether the answer is the refusal of its prompt, which has no candidate."""
    return bool(read_blocked(extra.get("promptFeedback")))


def envelope(
    candidates: list[Json], usage: Usage | None, answer_id: str, model: str, extra: Json | None, losses: Losses
) -> Json:
    """An answer, or the last chunk of one, around its candidates."""
    body: Json = {"candidates": candidates} if candidates else {}
    if usage is not None:
        rest = extra.get("usageMetadata", {}) if extra else {}
        body["usageMetadata"] = write_usage(usage, rest if isinstance(rest, dict) else {}, losses)
    body |= {"modelVersion": model, "responseId": answer_id}
    if extra:
        overlay(body, extra)
    return body
