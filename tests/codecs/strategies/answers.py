"""Canonical answers, such as the decoders make."""

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from omni_translator.domain.model import (
    Choice,
    FinishReason,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.codecs.strategies.base import arguments, ids, json_text, media, names, payloads, unknown, urls, words

counts = st.integers(0, 10**6)
usages = st.builds(
    lambda fresh, cached, written, said, thought: Usage(
        fresh + cached + written, cached, written, said + thought, thought
    ),
    counts,
    counts,
    st.sampled_from([0, 7]),
    counts,
    st.sampled_from([0, 11]),
)
counts_only = usages.map(lambda known: Usage(known.input_tokens, output_tokens=known.output_tokens))


# What a text cites: addresses, as each format tells them.
places = st.tuples(st.integers(0, 14), st.integers(0, 14)).map(sorted)
_addresses = st.builds(
    lambda url, title, place: {
        "type": "url_citation",
        "url": url,
        "title": title,
        "start_index": place[0],
        "end_index": place[1],
    },
    urls,
    words,
    places,
)
_files = st.just({"type": "file_citation", "file_id": "f", "filename": "a.txt", "index": 0})
_pages = st.builds(
    lambda url, title, quote, proof: {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "cited_text": quote,
        "encrypted_index": proof,
    },
    urls,
    words,
    words,
    st.just("") | ids,
)
_documents = st.just(
    {"type": "char_location", "cited_text": "c", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
)


def annotated(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """The ``extra`` of a text that may cite, in the words of OpenAI's formats."""
    quoted = st.builds(lambda item, quote: item | {"content": quote}, _addresses, words)
    listed = st.lists(_addresses | quoted | (_files if strange else st.nothing()), min_size=1, max_size=3)
    return st.just({}) | st.fixed_dictionaries({"annotations": listed})


def cited_blocks(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """The same in Anthropic's words."""
    listed = st.lists(_pages | (_documents if strange else st.nothing()), min_size=1, max_size=3)
    return st.just({}) | st.fixed_dictionaries({"citations": listed})


def _grounded(answer: Response, found: list[Any], beyond: dict[str, Any]) -> Response:
    """The same in Gemini's: of the whole answer, in bytes."""
    said = "".join(part.text for part in answer.parts if isinstance(part, Text))
    if not found or not said:
        return answer
    supports = []
    for at, (_, _, (start, end)) in enumerate(found):
        segment = {
            "startIndex": len(said[:start].encode()),
            "endIndex": len(said[:end].encode()),
            "text": said[start:end],
        }
        supports.append({"segment": segment, "groundingChunkIndices": [at]})
    chunks = [{"web": {"uri": url, "title": title}} for url, title, _ in found]
    grounding = beyond | {"groundingChunks": chunks, "groundingSupports": supports}
    return msgspec.structs.replace(answer, extra=answer.extra | {"candidates": [{"groundingMetadata": grounding}]})


@cache
def answers(origin: WireFormat, strange: bool = True) -> st.SearchStrategy[Response]:
    """Canonical answers such as a decoder of ``origin`` makes: parts in the format's own order."""
    if origin is WireFormat.CLOUDCODE_GENERATE:  # Gemini's, in an envelope
        origin = WireFormat.GEMINI_GENERATE
    extra = unknown if strange else st.just({})
    texts = st.builds(Text, words, extra=st.builds(lambda a, b: a | b, extra, cited_blocks(strange)))
    if origin is not WireFormat.ANTHROPIC_MESSAGES:
        texts = st.builds(Text, words, extra=annotated(strange) if origin is WireFormat.OPENAI_CHAT else st.just({}))
    calls = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), extra=extra)
    thought = st.builds(Reasoning, text=words, origin=st.just(origin))
    if origin is WireFormat.OPENAI_CHAT:
        refusals = st.lists(st.builds(Refusal, words), max_size=1) if strange else st.just([])
        parts: Any = st.tuples(
            st.lists(thought, max_size=1) if strange else st.just([]),
            st.lists(texts, max_size=1),
            refusals,
            st.lists(calls, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = usages
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.OLLAMA_CHAT:
        plain_call = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), extra=extra)
        parts = st.tuples(
            st.lists(thought, max_size=1) if strange else st.just([]),
            st.lists(texts, max_size=1),
            st.lists(plain_call, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = counts_only
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.COHERE_CHAT:
        planned = st.builds(Reasoning, text=words, origin=st.just(origin), item=st.just("tool_plan"))
        marked = st.builds(Text, words, extra=extra)
        mused = st.builds(Reasoning, text=words, origin=st.just(origin), extra=extra)
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest), names, unknown)
        parts = st.tuples(
            st.lists(planned, max_size=1) if strange else st.just([]),
            st.lists(marked | (mused | block if strange else st.nothing()), max_size=2),
            st.lists(calls, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = usages.map(
            lambda known: Usage(known.input_tokens, known.cached_input_tokens, output_tokens=known.output_tokens)
        )
        reasons = [
            *(FinishReason.STOP, FinishReason.STOP_SEQUENCE, FinishReason.LENGTH, FinishReason.TOOL_CALLS),
            FinishReason.CONTENT_FILTER,
        ]
    elif origin is WireFormat.OPENAI_RESPONSES:
        noted = st.builds(lambda a, b: a | b, extra, annotated(strange))
        said = st.builds(Text, words, extra=noted, item=ids) | st.builds(Refusal, words, extra=extra, item=ids)
        thoughts = st.builds(
            Reasoning,
            text=words,
            origin=st.just(origin),
            signature=payloads | st.just(""),
            full=st.booleans(),
            item=ids,
            extra=extra,
        )
        freeform = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), freeform=st.just(True))
        item = st.builds(
            lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest, slot="item"), names, unknown
        )
        odd = thoughts | freeform | item if strange else st.nothing()
        plain_said = st.builds(Text, words, extra=noted, item=ids)
        parts = st.lists((said if strange else plain_said) | calls | odd, max_size=4).map(tuple)
        usage = usages
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.GEMINI_GENERATE:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        proven = st.builds(
            ToolCall, id=ids, name=names, arguments=json_text(arguments), signature=ids | st.just(""), extra=extra
        )
        picture = st.builds(Image, data=payloads, media_type=media, extra=extra)
        block = st.builds(lambda rest: Opaque(origin=origin, data={"executableCode": rest}), unknown)
        ours: Any = signed | proven | picture | block if strange else st.nothing()
        parts = st.lists(marked | calls | ours, max_size=4).map(_apart)
        usage = usages.map(lambda known: msgspec.structs.replace(known, cache_write_tokens=0))
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.CURSOR_CHAT:
        proven = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""))
        hidden = payloads.map(lambda data: Opaque(origin=origin, data={"redacted_thinking": data}))
        call = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments))
        said = st.builds(Text, words) | call | (proven | hidden if strange else st.nothing())
        parts = st.lists(said, max_size=4, unique_by=lambda part: part.id if isinstance(part, ToolCall) else id(part))
        parts = parts.map(_apart)
        usage = st.none()
        reasons = [FinishReason.STOP]
        extra = st.just({}) | st.just({"web_citation": {"references": [{"url": "u", "title": "t", "chunk": "c"}]}})
    elif origin is WireFormat.KIRO_CONVERSATION:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        hidden = st.builds(
            lambda data, rest: Opaque(origin=origin, data={"redactedContent": data} | rest), payloads, unknown
        )
        kiro_parts = st.lists(marked | calls | (signed | hidden if strange else st.nothing()), max_size=4)
        parts = kiro_parts.map(_calls_apart)
        usage = usages.map(lambda known: msgspec.structs.replace(known, reasoning_tokens=0))
        reasons = [
            *(FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS, FinishReason.CONTENT_FILTER),
            FinishReason.PAUSE,
        ]
    elif origin is WireFormat.BEDROCK_CONVERSE:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        hidden = st.builds(
            lambda data: Opaque(origin=origin, data={"reasoningContent": {"redactedContent": data}}), payloads
        )
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"x_" + kind: rest}), names, unknown)
        parts = st.lists(marked | calls | (signed | hidden | block if strange else st.nothing()), max_size=4).map(tuple)
        usage = usages.map(
            lambda known: Usage(
                known.input_tokens, known.cached_input_tokens, known.cache_write_tokens, known.output_tokens
            )
        )
        reasons = [reason for reason in FinishReason if reason not in (FinishReason.OTHER, FinishReason.PAUSE)]
    else:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest), names, unknown)
        parts = st.lists(texts | calls | (signed | block if strange else st.nothing()), max_size=4).map(tuple)
        usage = usages.map(
            lambda known: Usage(
                known.input_tokens, known.cached_input_tokens, known.cache_write_tokens, known.output_tokens
            )
        )
        reasons = [reason for reason in FinishReason if reason is not FinishReason.OTHER]
    other = st.builds(
        Choice,
        parts=parts.map(_each_call_once),
        finish=st.sampled_from(reasons),
        extra=extra,
    )
    several = origin in (WireFormat.OPENAI_CHAT, WireFormat.GEMINI_GENERATE)
    whole = st.builds(
        Response,
        origin=st.just(origin),
        id=ids,
        model=names,
        parts=parts.map(_each_call_once),
        finish=st.sampled_from(reasons),
        stop_sequence=st.just(""),
        usage=usage,
        others=st.just(()) | st.lists(other, max_size=2).map(tuple) if several else st.just(()),
        extra=extra,
    )
    if origin is not WireFormat.GEMINI_GENERATE:
        return whole
    beyond = st.fixed_dictionaries({}, optional={"webSearchQueries": st.just(["q"])} if strange else {})
    return st.builds(_grounded, whole, st.lists(st.tuples(urls, words, places), max_size=3), beyond)


def _each_call_once(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """No two calls of an answer have one id, which is how formats that tell calls in pieces join them."""
    ids = [part.id if isinstance(part, ToolCall) else None for part in parts]
    return tuple(part for at, part in enumerate(parts) if ids[at] is None or ids[at] not in ids[:at])


def _apart(parts: list[Any]) -> tuple[Any, ...]:
    """Without texts that Gemini's readers would take for the one before going on."""
    kept: list[Any] = []
    for part in parts:
        last = kept[-1] if kept else None
        open_end = isinstance(last, Text | Reasoning) and not last.extra and not getattr(last, "signature", "")
        if not (open_end and type(part) is type(last)):
            kept.append(part)
    return tuple(kept)


def _calls_apart(parts: list[Any]) -> tuple[Any, ...]:
    """Without texts that Kiro's readers would take for the one before going on, and no two calls of one id."""
    kept: list[Any] = []
    for part in parts:
        last = kept[-1] if kept else None
        goes_on = isinstance(part, Text | Reasoning) and type(part) is type(last) and not getattr(last, "signature", "")
        if not goes_on and not any(isinstance(part, ToolCall) and part.id == getattr(held, "id", "") for held in kept):
            kept.append(part)
    return tuple(kept)
