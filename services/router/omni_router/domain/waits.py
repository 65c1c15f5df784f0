"""How long a provider tells to wait: in headers, in an error's fields, in its words.

What headers say: ``retry-after`` (RFC 9110), ``retry-after-ms`` (OpenAI's and Azure's), OpenAI's ``x-ratelimit-*``
(platform.openai.com/docs/guides/rate-limits), ``anthropic-ratelimit-*`` (docs.anthropic.com/en/api/rate-limits) and
what Claude's and Codex' own CLIs read of subscriptions. What bodies say: google.rpc.RetryInfo, Codex' ``resets_*``,
Cloud Code Assist's ``quotaResetDelay``, and sentences such as "try again in 1m3.5s". Header names are lower case.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from omni_wire.errors import upstream_message

# Words can repeat what a client wrote, so they are believed for a while only.
_LONGEST_IN_WORDS = 900.0
_MOST = 1e9
# Less is not worth telling the fleet.
_LEAST = 0.5
# From here on a number is no time to go but a time: seconds since the epoch, then milliseconds.
_EPOCH, _EPOCH_MS = 1.6e9, 1.6e12

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = rf"({_NUMBER})\s*(milliseconds?|ms|minutes?|mins?|m|seconds?|secs?|s|hours?|h)(?![a-z])"
_SPANS = re.compile(_SPAN, re.IGNORECASE)
_WORDS = re.compile(rf"(?:again|retry|wait|resets?)\w*\s+(?:after|in|for)?\s*((?:{_SPAN}\s*){{1,4}})", re.IGNORECASE)
_DELAYS = re.compile(rb'"(?:retryDelay|quotaResetDelay)"\s*:\s*"([0-9.a-z]{1,40})"')
_RESETS_IN = re.compile(rb'"resets_in_seconds"\s*:\s*(\d{1,9}(?:\.\d{1,9})?)')
_RESETS_AT = re.compile(rb'"resets_at"\s*:\s*(\d{1,12})')

# (what is left, when all of it is back, whether it is the whole account's)
_LEFT = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", False),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", False),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", False),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", False),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset", False),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset", False),
)
# (window, what is used of it, of how much, when all is back, how many minutes it has where that is told): of
# subscriptions, whose windows hold for all models
USED = (
    ("5h", "anthropic-ratelimit-unified-5h-utilization", 1.0, "anthropic-ratelimit-unified-5h-reset", ""),
    ("week", "anthropic-ratelimit-unified-7d-utilization", 1.0, "anthropic-ratelimit-unified-7d-reset", ""),
    ("5h", "x-codex-primary-used-percent", 100.0, "x-codex-primary-reset-after-seconds",
    "x-codex-primary-window-minutes"), ("week", "x-codex-secondary-used-percent", 100.0,
    "x-codex-secondary-reset-after-seconds", "x-codex-secondary-window-minutes"),
)  # fmt: skip


class Spent(msgspec.Struct, frozen=True):
    """A quota of which nothing is left for so many seconds; of the whole account, or of the model asked for."""

    seconds: float
    whole_account: bool


def told_wait(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Seconds to wait after a refusal; None where nothing is told. ``now`` is in epoch seconds; an answer's own
    ``date`` is preferred, so that no two clocks need agree."""
    wait = retry_after(headers, now)
    now = date(headers, now)
    if wait is None:
        wait = _in_fields(body, now)
    if wait is None and (found := spent(headers, now)) is not None:
        wait = found.seconds
    return wait if wait is not None else _in_words(upstream_message(body))


def spent(headers: Mapping[str, str], now: float, cutoff: float = 0.0) -> Spent | None:
    """What is used up, by an answer's headers, with the longest time until it is back. Of a subscription that is when
    no more than the share ``cutoff`` (0 to 1) is left."""
    found: Spent | None = None
    for left, reset, whole_account in _LEFT:
        if headers.get(left) == "0":
            found = _longer(found, headers.get(reset), whole_account, headers, now)
    for _, used, whole, reset, _ in USED:
        share = seconds(headers.get(used))
        if share is not None and share >= whole * (1 - cutoff):
            found = _longer(found, headers.get(reset), True, headers, now)
    return found


def _longer(
    found: Spent | None, reset: str | None, whole_account: bool, headers: Mapping[str, str], now: float
) -> Spent | None:
    wait = until(reset, date(headers, now)) if reset is not None else None
    if wait is None or wait < _LEAST or (found is not None and found.seconds >= wait):
        return found
    return Spent(wait, whole_account)


def seconds(value: str | None) -> float | None:
    """A plain number of them."""
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < _MOST else None


def until(value: str, now: float) -> float | None:
    """Seconds until what a reset header says: "6m0s", "500ms", seconds, an epoch time, or a date."""
    value = value.strip()
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if number >= 0:
        if number >= _EPOCH_MS:
            number = number / 1000 - now
        elif number >= _EPOCH:
            number -= now
        return _within(number)
    if (lasting := duration(value)) is not None:
        return lasting
    try:
        return _within(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() - now)
    except (ValueError, OverflowError, OSError):
        return None


def duration(text: str) -> float | None:
    """Seconds of "1h2m3.5s" and the like; None for anything else."""
    total, end = 0.0, 0
    for part in _DURATION.finditer(text):
        if part.start() != end:
            return None
        total, end = total + float(part[1]) * _UNITS[part[2]], part.end()
    return _within(total) if end and end == len(text) else None


def _within(wait: float) -> float | None:
    """NaN and what no clock shows is nothing that was told."""
    return max(0.0, wait) if wait < _MOST else None


def date(headers: Mapping[str, str], now: float) -> float:
    """When the answer was given by its provider's clock, else ``now``; epoch seconds."""
    told = headers.get("date")
    at = _http_date(told) if told is not None else None
    return at if at is not None else now


def _http_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds, by the header made for it, whatever the status."""
    milliseconds = seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    plain = seconds(value)
    if value is None or plain is not None:
        return plain
    at = _http_date(value)
    return _within(at - date(headers, now)) if at is not None else None


def _in_fields(body: bytes, now: float) -> float | None:
    if delay := _DELAYS.search(body):
        return duration(delay[1].decode())
    if resets := _RESETS_IN.search(body):
        return float(resets[1])
    if resets := _RESETS_AT.search(body):
        return until(resets[1].decode(), now)
    return None


def _in_words(message: str) -> float | None:
    told = _WORDS.search(message)
    if told is None:
        return None
    total = 0.0
    for span in _SPANS.finditer(told[1]):
        unit = span[2].lower()
        total += float(span[1]) * (_UNITS["ms"] if unit.startswith(("ms", "mil")) else _UNITS[unit[0]])
    return min(_LONGEST_IN_WORDS, total)
