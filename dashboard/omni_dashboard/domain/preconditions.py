"""Conditions of a request (RFC 9110, section 13): which version of a thing a change, or an answer, is about."""

import re

import msgspec
from omni_wire.errors import InvalidRequest

_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"(?:[ \t]*,[ \t]*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*")*')
_TAG = re.compile(r'(W/)?"([^"]*)"')


class Match(msgspec.Struct, frozen=True):
    """The strong tags that will do, without quotes; with ``any`` whatever is there."""

    tags: tuple[str, ...] = ()
    any: bool = False


def if_match(header: str | None) -> Match | None:
    """Raises ``InvalidRequest``: 400 for what are no tags, 412 for weak tags alone, which never match here."""
    if header is None:
        return None
    if header.strip() == "*":
        return Match(any=True)
    strong = tuple(tag for weak, tag in _tags(header, "If-Match") if not weak)
    if not strong:
        raise stale("a weak tag matches nothing here: send the ETag as it was given")
    return Match(strong)


def create_only(header: str | None) -> bool:
    """Of a change: ``If-None-Match: *`` alone means something. Raises ``InvalidRequest``."""
    if header is not None and header.strip() != "*":
        raise InvalidRequest(
            "If-None-Match: a change takes '*' alone, for what is not there yet", param="If-None-Match"
        )
    return header is not None


def is_known(header: str | None, etag: str) -> bool:
    """Of a question: whether who asks has that version already. Raises ``InvalidRequest``."""
    if header is None:
        return False
    return header.strip() == "*" or etag in [tag for _, tag in _tags(header, "If-None-Match")]


def stale(why: str) -> InvalidRequest:
    return InvalidRequest(f"If-Match: {why}", param="If-Match", status=412, code="version_mismatch")


def _tags(header: str, name: str) -> list[tuple[str, str]]:
    if not _TAGS.fullmatch(header.strip()):
        raise InvalidRequest(f"{name}: must be tags in quotes, such as \"3\", or '*'", param=name)
    return _TAG.findall(header)
