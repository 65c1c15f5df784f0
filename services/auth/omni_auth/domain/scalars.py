"""Written words as values: flags, numbers, money, names, URLs. Each raises ``PydanticCustomError``.

No message repeats what was written unless it is a name: it could be a secret in the wrong place.
"""

import ipaddress
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from fractions import Fraction
from typing import NoReturn
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from omni_catalogue import tags
from omni_catalogue.logins import NAMES
from omni_catalogue.windows import is_known
from pydantic_core import PydanticCustomError

from omni_auth.domain.problems import suggestion

NANO = 1_000_000_000
# Largest time, in epoch seconds (the year 9999).
MAX_TIME = 253_402_300_799
# Largest amount of USD anywhere: as nano-USD it stays exact in the doubles of Redis' Lua.
MAX_USD = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ON = frozenset({"true", "on", "yes"})
_OFF = frozenset({"false", "off", "no"})
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]{0,99})\Z")
_DECIMAL = re.compile(r"[+-]?([0-9][0-9_]{0,24}(\.[0-9_]{0,24})?|\.[0-9]{1,24})([eE][+-]?[0-9]{1,2})?\Z")
_PROJECT = re.compile(r"[A-Za-z][A-Za-z0-9:.-]{0,62}")
_PROFILE_ARN = re.compile(r"arn:aws[a-z-]*:codewhisperer:[a-z0-9-]*:[0-9]{12}:profile/[A-Za-z0-9_-]{1,128}")
_MACHINE_ID = re.compile(r"[A-Za-z0-9-]{8,128}(/[A-Za-z0-9-]{8,128})?")
_LOGIN = re.compile(r"[a-z0-9-]{1,40}/[A-Za-z0-9_.@+-]{1,60}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,39}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_WINDOW_NAME = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:*,-]{0,63}")
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PROVIDERS = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]{0,63}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?\Z")
_HOST_PATTERN = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?\Z")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[a-z0-9\[]([a-z0-9.:_-]{0,251}[a-z0-9\]])?(:[1-9][0-9]{0,4})?\Z")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
# A last label of digits makes it an IPv4 address in one of its old spellings (127.1, 0x7f000001, 2130706433).
_OLD_IPV4 = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?\Z")


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("omniroute", "{message}", {"message": message})


def flag_or_none(value: object) -> bool | None:
    """on/true/yes, off/false/no, or None for anything else."""
    word = value.lower() if isinstance(value, str) else ""
    return True if word in _ON else False if word in _OFF else None


def switched(mapping: str, off: object = None) -> Callable[[object], object]:
    """A mapping; or on, which is an empty one, or off. ``mapping`` is what to tell of it to who writes neither."""

    def read(value: object) -> object:
        if isinstance(value, dict):
            return value
        flag = flag_or_none(value)
        if flag is None:
            _refuse(f"must be on, off or {mapping}")
        return {} if flag else off

    return read


def number_or_none(value: object) -> int | float | None:
    """A whole or a decimal number as JSON has it, or None for anything else."""
    if not isinstance(value, str) or not _DECIMAL.match(value):
        return None
    return int(value.replace("_", "")) if _WHOLE.match(value) else float(value.replace("_", ""))


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


def project(value: object) -> str:
    """Google's own rule (cloud.google.com/resource-manager/docs/creating-managing-projects), old domains' too."""
    if not isinstance(value, str) or not _PROJECT.fullmatch(value):
        _refuse("must be a project id: letters, digits, '-', ':' and '.' (at most 63, a letter first)")
    return value


def profile_arn(value: object) -> str:
    if not isinstance(value, str) or not _PROFILE_ARN.fullmatch(value):
        _refuse("must be a profile's ARN: arn:aws:codewhisperer:REGION:ACCOUNT:profile/ID")
    return value


def login(value: object) -> str:
    """A login by its id, "kind/name", with the kind's own id in the place of another name of it."""
    if not isinstance(value, str) or not _LOGIN.fullmatch(value):
        _refuse("must be a login: KIND/NAME, such as codex/work (omniroute login list)")
    kind, _, name = value.partition("/")
    if kind not in NAMES:
        _refuse(f"names no login that there is{suggestion(kind, list(NAMES))}")
    return f"{NAMES[kind]}/{name}"


def machine_id(value: object) -> str:
    """One of Cursor's telemetry ids, or two with a slash between."""
    if not isinstance(value, str) or not _MACHINE_ID.fullmatch(value):
        _refuse("must be a machine id: letters, digits and '-' (8 to 128), or two with '/' between")
    return value


def version(value: object) -> str:
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        _refuse("must be a version: letters, digits, '.', '+' and '-' (at most 40)")
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


def count_or_off(most: int) -> Callable[[object], int]:
    """A whole number from 1, or 0 or off for none."""

    def read(value: object) -> int:
        return 0 if flag_or_none(value) is False else whole(0, most, " or off")(value)

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


def seconds_or_none(value: object) -> float:
    """As ``seconds``, or 0 or off for none at all."""
    return 0.0 if flag_or_none(value) is False or value == "0" else seconds(value)


def share(value: object) -> float:
    found = _fraction(value, "a number from 0 to 1")
    if not 0 <= found <= 1:
        _refuse("must be from 0 to 1")
    return float(found)


def millionths(value: object) -> int:
    """A number of more than 0 and at most 1, in millionths."""
    found = _fraction(value, "a part of the price from 0 to 1, such as 0.5")
    if not 0 < found <= 1 or (found * 1_000_000).denominator != 1:
        _refuse("must be more than 0 and at most 1, to a millionth")
    return int(found * 1_000_000)


def account_id(value: object) -> str:
    """A provider's id and an account's name."""
    if not isinstance(value, str) or not _ACCOUNT.match(value):
        _refuse("must be an account as provider/name")
    return value


def percent(value: object) -> float:
    found = _fraction(value, "a number of percent, from 0 to 100")
    if not 0 <= found <= 100:
        _refuse("must be from 0 to 100 percent")
    return float(found)


def model_id(value: object) -> str:
    word = model_pattern(value)
    if word != "*" and "*" in word:
        _refuse("must be a model's id, or '*' alone for any")
    return word


def model_pattern(value: object) -> str:
    """A model's id, in which "*" may stand for more than one."""
    word = text(value)
    if any(char.isspace() for char in word) or len(word) > 256:
        _refuse("must be a model's id without spaces")
    return word


def pattern(value: object) -> str:
    word = text(value)
    if any(char.isspace() for char in word) or len(word) > 256:
        _refuse("must be a pattern over model ids without spaces, such as 'acme/*'")
    return word


def tag(value: object) -> str:
    if not isinstance(value, str) or not tags.is_tag(value):
        _refuse(f"must be a tag: 1 to {tags.LONGEST} characters, {tags.SHAPE}")
    return value


def within_provider(word: str, example: str) -> Callable[[object], str]:
    """An account or a model, by the id of its provider."""

    def read(value: object) -> str:
        told = text(value)
        provider, _, rest = told.partition("/")
        if not _NAME.match(provider) or not rest or any(char.isspace() for char in told) or len(told) > 320:
            _refuse(f"must be the provider's id and the {word}, such as {example}")
        return told

    return read


def provider_pattern(value: object) -> str:
    if not isinstance(value, str) or not _PROVIDERS.match(value):
        _refuse("must be a provider's id or a pattern over ids, such as 'acme' or 'eu-*'")
    return value


def network(value: object) -> str:
    """In its usual spelling: 10.0.0.0/8, or one address."""
    word = text(value)
    try:
        found = ipaddress.ip_network(word)
    except ValueError:
        _refuse("must be a network such as 10.0.0.0/8 or 2001:db8::/32, without bits of a host, or one address")
    return str(found)


def span(value: object) -> int:
    """A time to go, such as 30d, 12h, 90m or 45s, in seconds; 0 for what is not written so."""
    found = _SPAN.match(value) if isinstance(value, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else 0


def lasting(most: int) -> Callable[[object], float]:
    """Reads seconds, or a span such as 24h, of at most ``most`` seconds."""

    def read(value: object) -> float:
        found = span(value) or _fraction(value, "a time such as 24h, 90m or 30s, or a number of seconds")
        if not 0 < found <= most:
            _refuse(f"must be more than 0 and at most {most} seconds")
        return float(found)

    return read


def moment(value: object) -> int:
    """A date or a time with its zone (ISO 8601) as epoch seconds; a date alone is its beginning in UTC."""
    word = text(value)
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        _refuse("must be a date such as 2030-12-31 or a time such as 2030-12-31T18:00:00Z")
    if found.tzinfo is None and len(word) > len("2030-12-31"):
        _refuse("must say its zone: 2030-12-31T18:00:00Z or …+02:00")
    moved = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return max(1, int((moved - _EPOCH).total_seconds()))


def time_zone(value: object) -> str:
    if not isinstance(value, str) or not is_known(value):
        near = suggestion(value, available_timezones()) if isinstance(value, str) else ""
        _refuse(f"must be a time zone such as Europe/Berlin, of those that this machine knows{near}")
    return value


def anchor(value: object) -> str:
    """A local date or time, to the minute."""
    word = text(value)
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or found.second or found.microsecond:
        _refuse("must be a date such as 2030-01-15, or a time such as 2030-01-15T10:00, in the limit's time_zone")
    return found.isoformat(timespec="minutes")


def amount(value: object) -> str:
    """A number of something, as it is written: what it is of says how it is read."""
    if not isinstance(value, str) or not _DECIMAL.match(value):
        _refuse("must be a number")
    return value


def time_of_day(value: object) -> str:
    if not isinstance(value, str) or not _TIME_OF_DAY.fullmatch(value):
        _refuse("must be a time of day such as 10:00")
    return value


def window_name(value: object) -> str:
    if not isinstance(value, str) or not _WINDOW_NAME.fullmatch(value):
        _refuse("must be a name such as 5h or week:opus: letters, digits and '._:*,-' (at most 64, no blank)")
    return value


def host(value: object) -> str:
    word = text(value)
    if not _is_address(word) and not _HOST.match(word):
        _refuse("must be a host name or an address")
    return word


def host_pattern(value: object) -> str:
    """A host's name without a port, or "*.example.org" for all below one, in lower case."""
    word = text(value).lower().rstrip(".")
    if not _HOST_PATTERN.match(word) or ".." in word:
        _refuse("must be a host's name without a port, such as ai.example.org or *.example.org")
    return word


def origin(value: object) -> str:
    """As browsers send it: a scheme, a host, and a port where it is not the scheme's own; or '*' for any."""
    word = text(value)
    if word != "*" and not _ORIGIN.match(word):
        _refuse("must be an origin such as https://app.example.org (in lower case, no path), or '*' for any")
    return word


def header_name(value: object) -> str:
    word = text(value).lower()
    if not _HEADER.match(word):
        _refuse("must be a header's name, such as x-request-id")
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


def proxy_url(value: object) -> str:
    """http, https, socks5 or socks5h://host[:port]. A password in it would end up in snapshots."""
    word = text(value)
    scheme, _, rest = word.partition("://")
    if scheme not in ("http", "https", "socks5", "socks5h") or not rest:
        _refuse("must be a URL such as http://proxy.example.com:3128, or one of https, socks5 or socks5h")
    if "@" in rest:
        _refuse("must not carry a password; that goes into credentials")
    if rest.rstrip("/").count("/"):
        _refuse("must be a host and a port, without a path")
    return f"{scheme}://{base_url(f'http://{rest}').partition('://')[2]}"


def webhook_url(value: object) -> str:
    """As ``base_url``, but as it stands: it may have a query, which the receiver goes by."""
    word = text(value)
    base, _, query = word.partition("?")
    base_url(base.partition("#")[0])
    if "#" in word or not query.isascii() or not query.isprintable() or " " in query:
        _refuse("must not have a fragment, nor blanks in its query")
    return word


def pem_file(value: object) -> str:
    """An absolute path, for whichever process makes the connection reads it."""
    word = text(value)
    if not word.startswith("/") or not word.isprintable():
        _refuse("must be the absolute path of a PEM file, which each process that calls providers can read")
    return word


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
