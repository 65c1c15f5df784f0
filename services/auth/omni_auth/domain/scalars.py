"""Written words as values: flags, numbers, money, names, URLs. Each raises ``PydanticCustomError``.

No message repeats what was written unless it is a name: it could be a secret in the wrong place.
"""

import ipaddress
import re
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import NoReturn
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from omni_auth.domain.problems import suggestion

NANO = 1_000_000_000
# Largest amount of USD anywhere: as nano-USD it stays exact in the doubles of Redis' Lua.
MAX_USD = 1_000_000

_ON = frozenset({"true", "on", "yes"})
_OFF = frozenset({"false", "off", "no"})
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]{0,99})\Z")
_DECIMAL = re.compile(r"[+-]?([0-9][0-9_]{0,24}(\.[0-9_]{0,24})?|\.[0-9]{1,24})([eE][+-]?[0-9]{1,2})?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?\Z")
# A last label of digits makes it an IPv4 address in one of its old spellings (127.1, 0x7f000001, 2130706433).
_OLD_IPV4 = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?\Z")


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("omniroute", "{message}", {"message": message})


def flag_or_none(value: object) -> bool | None:
    """on/true/yes, off/false/no, or None for anything else."""
    word = value.lower() if isinstance(value, str) else ""
    return True if word in _ON else False if word in _OFF else None


def flag(value: object) -> bool:
    found = flag_or_none(value)
    if found is None:
        _refuse("must be true or false")
    return found


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse("must be a text")
    return value


def name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        _refuse("must be a name of letters, digits, '.', '_' and '-' (at most 64, a letter or digit first)")
    return value


def one_of(words: Collection[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            near = suggestion(value, words) if isinstance(value, str) else ""
            _refuse(f"must be one of {', '.join(words)}{near}")
        return value

    return read


def whole(low: int, high: int, hint: str = "") -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, str) or not _WHOLE.match(value):
            _refuse("must be a whole number" + hint)
        number = int(value.replace("_", ""))
        if not low <= number <= high:
            _refuse(f"must be from {low} to {high}{hint}")
        return number

    return read


def _fraction(value: object, what: str) -> Fraction:
    if not isinstance(value, str) or not _DECIMAL.match(value):
        _refuse(f"must be {what}")
    return Fraction(value.replace("_", ""))


def usd(value: object) -> int:
    """USD as nano-USD, exactly."""
    amount = _fraction(value, "an amount in USD, such as 1.25")
    if amount < 0 or amount > MAX_USD:
        _refuse(f"must be from 0 to {MAX_USD} USD")
    nano = amount * NANO
    if nano.denominator != 1:
        _refuse("must not be finer than a billionth of a USD")
    return int(nano)


def some_usd(value: object) -> int:
    nano = usd(value)
    if nano == 0:
        _refuse("must be more than 0 (leave the budget out for none)")
    return nano


def seconds(value: object) -> float:
    span = _fraction(value, "a number of seconds")
    if span <= 0 or span > 86_400:
        _refuse("must be more than 0 and at most 86400 seconds")
    return float(span)


def model_id(value: object) -> str:
    word = text(value)
    if word != "*" and "*" in word:
        _refuse("must be a model's id, or '*' alone for any")
    if any(char.isspace() for char in word) or len(word) > 256:
        _refuse("must be a model's id without spaces")
    return word


def pattern(value: object) -> str:
    word = text(value)
    if any(char.isspace() for char in word) or len(word) > 256:
        _refuse("must be a pattern over model ids without spaces, such as 'acme/*'")
    return word


def host(value: object) -> str:
    word = text(value)
    if not _is_address(word) and not _HOST.match(word):
        _refuse("must be a host name or an address")
    return word


def base_url(value: object) -> str:
    """http(s)://host[:port][/path], without a slash at its end. Credentials in it would end up in snapshots."""
    word = text(value)
    try:
        parts = urlsplit(word)
        port, found = parts.port, parts.hostname
    except ValueError:
        _refuse("must be a URL such as https://api.example.com/v1")
    if parts.scheme not in ("http", "https") or not found or port == 0 or any(c.isspace() or c == "\\" for c in word):
        _refuse("must be an http:// or https:// URL with a host")
    if "@" in parts.netloc:
        _refuse("must not carry credentials; they go into accounts")
    if "?" in word or "#" in word:
        _refuse("must not have a query or a fragment")
    if not word.isascii() or (not _is_address(found) and (not _HOST.match(found) or _OLD_IPV4.match(found))):
        _refuse("must have a host name or a plain IP address as its host")
    return word.rstrip("/")


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def is_private(url: str) -> bool:
    """Whether the URL names loopback, a private network or localhost outright (names are looked up at the call)."""
    try:
        found = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if found == "localhost" or found.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(found.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return not address.is_global or address.is_multicast
