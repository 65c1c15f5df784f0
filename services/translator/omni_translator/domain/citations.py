"""Where a text has what it says from: what an answer cites, from one format's words to another's.

It stands in ``extra`` as its own format told it, and goes home so. Whoever writes another format takes out of a copy of
it here what means the same everywhere: an address with its title, what of the text it backs, and what is quoted of it.
What cites files, documents or other things that only their own provider keeps stays behind, and is declared.

- OpenAI lists ``url_citation`` annotations, Responses flat with each text, Chat with the message, each in an object of
  its type. They stand in the text's ``extra`` under ``annotations``, flat; their places count characters. What is
  quoted stands under ``content``, which is OpenRouter's name for it.
- Anthropic lists ``citations`` with a text block, all of which they back; ``cited_text`` is what is quoted.
- Gemini tells with the candidate which of its ``groundingChunks`` back which segment of the whole text, counted in
  bytes of UTF-8; ``citationMetadata`` likewise where it repeats what others wrote.

Sources: OpenAI's reference of Chat and Responses, docs.claude.com (citations, web search tool, search results),
ai.google.dev/api/generate-content (``GroundingMetadata``, ``CitationMetadata``); read 2026-11-29.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeGuard

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain.model import Json, Message, Opaque, Part, Text

KEY: Final = "annotations"
BLOCKS_KEY: Final = "citations"
_URL: Final = "url_citation"
_NESTED: Final = frozenset({"type", _URL})
_PLACES: Final = ("start_index", "end_index")
_FOUND: Final = "web_search_result_location"
_SEARCHED: Final = "search_result_location"
_CHUNKS: Final = {"web": "", "retrievedContext": "text", "maps": "text"}  # kind -> the key of what is quoted
_ALTERNATIVES: Final = {WireFormat.GEMINI_GENERATE: "candidates", WireFormat.OPENAI_CHAT: "choices"}
_MAX_SEARCHES: Final = 64  # for a segment's words where they do not stand where it says


class Citation(msgspec.Struct, frozen=True):
    """An address, and what of the text cites it: from ``start`` to ``end`` in characters (-1: to the end of the text).
    ``quote`` is what is cited, in the source's own words. ``extra`` is what OpenAI's formats say beyond."""

    url: str
    title: str = ""
    start: int = 0
    end: int = -1
    quote: str = ""
    extra: Json = {}

    def span(self, length: int) -> tuple[int, int]:
        """The places within a text of ``length`` characters."""
        start = min(self.start, length)
        return start, length if self.end < 0 else max(start, min(self.end, length))


# ---- read -----------------------------------------------------------------------------------------------------------


def from_chat(listed: list[Json]) -> list[Json]:
    """Flat annotations; one that is not just an address in its object stays as it is."""
    return [
        {"type": _URL} | item[_URL]
        if item.get("type") == _URL and isinstance(item.get(_URL), dict) and item.keys() <= _NESTED
        else item
        for item in listed
    ]


def take_citations(part: Part, extra: Json | None = None) -> tuple[list[Citation], Json]:
    """The addresses that a foreign text cites, and what of the rest of it is to be declared: of its ``extra``, or else
    of the part's own. Names with a dot are of keys within what has been taken."""
    held: Json = {} if isinstance(part, Opaque) else part.extra
    held = held if extra is None else extra
    if not isinstance(part, Text):
        return [], held
    for key, read in ((KEY, _from_openai), (BLOCKS_KEY, _from_anthropic)):
        listed = held.get(key)
        if isinstance(listed, list) and are_annotations(listed):
            cited, left, beyond = read(listed)
            rest = {name: value for name, value in held.items() if name != key}
            return cited, rest | ({key: left} if left else {}) | beyond
    return [], held


def are_annotations(value: Any) -> TypeGuard[list[Json]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def noted(message: Message) -> Message:
    """A message of Chat's whose annotations stand with its text, if it has just one."""
    listed = message.extra.get(KEY)
    at = [number for number, part in enumerate(message.parts) if isinstance(part, Text)]
    if not isinstance(listed, list) or not are_annotations(listed) or len(at) != 1:
        return message
    parts = list(message.parts)
    text = parts[at[0]]
    if isinstance(text, Text):
        parts[at[0]] = msgspec.structs.replace(text, extra=text.extra | {KEY: from_chat(listed)})
    extra = {key: value for key, value in message.extra.items() if key != KEY}
    return msgspec.structs.replace(message, parts=tuple(parts), extra=extra)


def _from_openai(listed: list[Json]) -> tuple[list[Citation], list[Json], Json]:
    cited, left = [], []
    for item in listed:
        url, title = item.get("url"), item.get("title", "")
        start, end = (item.get(place, default) for place, default in zip(_PLACES, (0, -1), strict=True))
        sound = item.get("type") == _URL and isinstance(url, str) and url and _URL not in item
        if not sound or not isinstance(title, str) or not _is_count(start) or not (end == -1 or _is_count(end)):
            left.append(item)
            continue
        quote = item.get("content")
        known = {"type", "url", "title", *_PLACES} | ({"content"} if isinstance(quote, str) else set())
        beyond = {key: value for key, value in item.items() if key not in known}
        cited.append(Citation(str(url), title, start, end, quote if isinstance(quote, str) else "", beyond))
    return cited, left, {}


def _from_anthropic(listed: list[Json]) -> tuple[list[Citation], list[Json], Json]:
    cited, left = [], []
    beyond: Json = {}
    for item in listed:
        kind = item.get("type")
        url = item.get("url" if kind == _FOUND else "source") if kind in (_FOUND, _SEARCHED) else None
        if not isinstance(url, str) or not url or (kind == _SEARCHED and not url.startswith(("https://", "http://"))):
            left.append(item)
            continue
        title, quote = item.get("title"), item.get("cited_text")
        cited.append(
            Citation(url, title if isinstance(title, str) else "", quote=quote if isinstance(quote, str) else "")
        )
        for key, value in item.items():
            if key not in ("type", "url", "source", "title", "cited_text") and value not in (None, ""):
                beyond[f"{BLOCKS_KEY}.{key}"] = value
    return cited, left, beyond


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def moved(extra: Json, place: Callable[[int], int]) -> Json:
    """What is known of a text (or said with it, in Chat) once characters have been taken out of it: ``place`` tells
    where that stands now which stood at a place before. The very ``extra`` where it has no annotations."""
    listed = extra.get(KEY)
    return extra | {KEY: [_moved(item, place) for item in listed]} if are_annotations(listed) else extra


def _moved(item: Json, place: Callable[[int], int]) -> Json:
    if isinstance(item.get(_URL), dict):
        return item | {_URL: _moved(item[_URL], place)}
    return item | {key: place(item[key]) for key in _PLACES if _is_count(item.get(key))}


# ---- write ----------------------------------------------------------------------------------------------------------


def to_chat(listed: list[Json], offset: int = 0) -> list[Json]:
    """Chat's annotations of a message in which ``offset`` characters stand before the text they are of."""
    out = []
    for item in listed:
        if item.get("type") != _URL or _URL in item:
            out.append(item)
            continue
        inner = {key: value for key, value in item.items() if key != "type"}
        for key in _PLACES:
            if offset and isinstance(inner.get(key), int):
                inner[key] += offset
        out.append({"type": _URL, _URL: inner})
    return out


def annotations(cited: Iterable[Citation], length: int) -> list[Json]:
    """Flat annotations of a text of ``length`` characters."""
    out = []
    for citation in cited:
        start, end = citation.span(length)
        said: Json = {"type": _URL, "start_index": start, "end_index": end}
        said |= {"url": citation.url, "title": citation.title}
        if citation.quote:
            said["content"] = citation.quote
        out.append(said | citation.extra)
    return out


def location(citation: Citation) -> Json:
    """Anthropic's words for it. The proof that it once found the page itself is never made up: an empty one says that
    there is none."""
    return {
        "type": _FOUND,
        "cited_text": citation.quote,
        "encrypted_index": "",
        "title": citation.title,
        "url": citation.url,
    }


def in_chat(texts: Sequence[str], cited: Iterable[tuple[int, Citation]]) -> list[Json]:
    """Chat's annotations of a message of these texts, with the number of the text that each citation is of."""
    befores = _sums(len(text) for text in texts)
    return [
        note
        for number, citation in cited
        for note in to_chat(annotations([citation], len(texts[number])), befores[number])
    ]


def to_gemini(texts: Sequence[str], cited: Iterable[tuple[int, Citation]]) -> Json:
    """``groundingMetadata`` of an answer of these texts, with the number of the text that each citation is of."""
    befores = _sums(len(text) for text in texts)
    spans = []
    for number, citation in cited:
        start, end = citation.span(len(texts[number]))
        spans.append((citation, befores[number] + start, befores[number] + end))
    joined = "".join(texts)
    at = _bytes_before(joined, {place for _, start, end in spans for place in (start, end)})
    chunks: dict[tuple[str, str], int] = {}
    supports: dict[tuple[int, int], list[int]] = {}
    for citation, start, end in spans:
        number = chunks.setdefault((citation.url, citation.title), len(chunks))
        supports.setdefault((start, end), []).append(number)
    return {
        "groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in chunks],
        "groundingSupports": [
            {
                "segment": {"startIndex": at[start], "endIndex": at[end], "text": joined[start:end]},
                "groundingChunkIndices": numbers,
            }
            for (start, end), numbers in supports.items()
        ],
    }


# ---- told with a whole answer ---------------------------------------------------------------------------------------


def tells_late(origin: WireFormat) -> bool:
    """Whether its answers tell only at their end what their last text cites."""
    return origin is WireFormat.GEMINI_GENERATE


def take_late(extra: Json, origin: WireFormat, texts: Sequence[str]) -> tuple[list[tuple[int, Citation]], Json]:
    """What the ``extra`` of a whole answer says that its texts cite: Gemini's way, and Chat's where something followed
    the text. Each citation has the number of its text. And what of the rest is to be declared; names with a dot are of
    keys within what was taken."""
    key = _ALTERNATIVES.get(origin, "")
    told = extra.get(key)
    first = told[0] if isinstance(told, list) and told else None
    if not isinstance(told, list) or not isinstance(first, dict):
        return [], extra
    cited, left = (_of_candidate if origin is WireFormat.GEMINI_GENERATE else _of_choice)(first, texts)
    return (cited, extra | {key: [left, *told[1:]]}) if cited else ([], extra)


def _of_choice(choice: Json, texts: Sequence[str]) -> tuple[list[tuple[int, Citation]], Json]:
    message = choice.get("message")
    listed = message.get(KEY) if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(listed, list) or not are_annotations(listed):
        return [], choice
    cited, left, _ = _from_openai(from_chat(listed))
    befores = _sums(len(text) for text in texts)
    rest = {name: value for name, value in message.items() if name != KEY} | ({KEY: left} if left else {})
    spans = [(citation, *citation.span(befores[-1])) for citation in cited]
    return _by_text(spans, befores), choice | {"message": rest}


def _of_candidate(candidate: Json, texts: Sequence[str]) -> tuple[list[tuple[int, Citation]], Json]:
    reader = _Segments(texts)
    left = dict(candidate)
    first = candidate
    told = first.get("groundingMetadata")
    if isinstance(told, dict):
        left["groundingMetadata"] = _grounded(told, reader)
    told = first.get("citationMetadata")
    if isinstance(told, dict):
        left["citationMetadata"] = _repeated(told, reader)
    return reader.cited(), left


class _Segments:
    """Finds segments of an answer's texts, and which text each is of."""

    __slots__ = ("_joined", "_searches", "_texts", "found")

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._joined = "".join(texts).encode("utf-8", "replace")
        self._searches = 0
        self.found: list[tuple[Citation, int, int]] = []  # with the segment's bytes

    def find(self, segment: Any) -> tuple[int, int] | None:
        """The bytes of the joined texts that a segment means; where it gives its words, they decide."""
        if not isinstance(segment, dict):
            return None
        start, end, words = segment.get("startIndex", 0), segment.get("endIndex"), segment.get("text")
        if not _is_count(start) or not _is_count(end):
            return None
        wanted = words.encode("utf-8", "replace") if isinstance(words, str) else b""
        if not wanted or self._joined[start:end] == wanted:
            return (start, end) if start <= end <= len(self._joined) else None
        self._searches += 1
        at = self._joined.find(wanted) if self._searches <= _MAX_SEARCHES else -1
        return (at, at + len(wanted)) if at >= 0 else None

    def cited(self) -> list[tuple[int, Citation]]:
        """What was found, in characters of the text that it begins in."""
        at = _characters_before(self._joined, {place for _, start, end in self.found for place in (start, end)})
        spans = [(citation, at[start], at[end]) for citation, start, end in self.found]
        return _by_text(spans, _sums(len(text) for text in self._texts))


def _by_text(spans: list[tuple[Citation, int, int]], befores: list[int]) -> list[tuple[int, Citation]]:
    """Spans in characters of all the texts, each as one of the text that it begins in."""
    out = []
    for citation, start, end in spans:
        number = bisect_right(befores, start, hi=len(befores) - 1) - 1
        if number >= 0:
            before, end = befores[number], min(end, befores[number + 1])
            out.append((number, msgspec.structs.replace(citation, start=start - before, end=end - before)))
    return out


def _grounded(told: Json, reader: _Segments) -> Json:
    """Read ``groundingMetadata``; what is left of it."""
    listed, supports = told.get("groundingChunks"), told.get("groundingSupports")
    if not isinstance(listed, list) or not isinstance(supports, list):
        return told
    beyond: Json = {}
    chunks = [_chunk(chunk, beyond) for chunk in listed]
    used: set[int] = set()
    lost: list[Any] = []
    for support in supports:
        indices = support.get("groundingChunkIndices") if isinstance(support, dict) else None
        place = reader.find(support.get("segment")) if isinstance(support, dict) else None
        known = [at for at in indices if _is_count(at) and at < len(chunks)] if isinstance(indices, list) else []
        backing = [(at, chunk) for at in known if (chunk := chunks[at]) is not None]
        if place is None or not backing:
            lost.append(support)
            continue
        for at, chunk in backing:
            used.add(at)
            reader.found.append((chunk, *place))
        for key, value in support.items():
            if key not in ("segment", "groundingChunkIndices"):
                beyond[f"groundingSupports.{key}"] = value
    left = {key: value for key, value in told.items() if key not in ("groundingChunks", "groundingSupports")}
    unused = [chunk for at, chunk in enumerate(listed) if at not in used]
    return left | beyond | {"groundingChunks": unused, "groundingSupports": lost}


def _chunk(chunk: Any, beyond: Json) -> Citation | None:
    for kind, quoted in _CHUNKS.items():
        told = chunk.get(kind) if isinstance(chunk, dict) else None
        if not isinstance(told, dict) or not isinstance(told.get("uri"), str) or not told["uri"]:
            continue
        title, quote = told.get("title"), told.get(quoted)
        for key, value in told.items():
            if key not in ("uri", "title", quoted):
                beyond[f"groundingChunks.{key}"] = value
        return Citation(
            told["uri"], title if isinstance(title, str) else "", quote=quote if isinstance(quote, str) else ""
        )
    return None


def _repeated(told: Json, reader: _Segments) -> Json:
    """Read ``citationMetadata``, whose list Vertex calls ``citations``; what is left of it."""
    left: Json = {}
    for key, listed in told.items():
        if key not in ("citationSources", "citations") or not isinstance(listed, list):
            left[key] = listed
            continue
        lost: list[Any] = []
        for source in listed:
            place = reader.find(source)
            url, title = (source.get("uri"), source.get("title")) if isinstance(source, dict) else (None, None)
            if place is None or not isinstance(url, str) or not url:
                lost.append(source)
                continue
            reader.found.append((Citation(url, title if isinstance(title, str) else ""), *place))
            for name, value in source.items():
                if name not in ("startIndex", "endIndex", "uri", "title"):
                    left[f"{key}.{name}"] = value
        if lost:
            left[key] = lost
    return left


# ---- places ---------------------------------------------------------------------------------------------------------


def _sums(lengths: Iterable[int]) -> list[int]:
    """What stands before each, and, last, all."""
    sums = [0]
    for length in lengths:
        sums.append(sums[-1] + length)
    return sums


def _bytes_before(text: str, places: set[int]) -> dict[int, int]:
    """Of places in characters, those in bytes of UTF-8. One walk over the text, however many there are."""
    at, last, count = {}, 0, 0
    for place in sorted(places):
        count += len(text[last:place].encode("utf-8", "replace"))
        at[place], last = count, place
    return at


def _characters_before(data: bytes, places: set[int]) -> dict[int, int]:
    """The reverse. A place within a character is taken for the one before it."""
    at, last, count = {}, 0, 0
    for place in sorted(places):
        edge = place
        while last < edge < len(data) and data[edge] & 0xC0 == 0x80:
            edge -= 1
        count += len(data[last:edge].decode("utf-8", "replace"))
        at[place], last = count, edge
    return at
