"""What a provider's failure means: the client's error, whether another candidate may help, what a breaker learns."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from omni_wire.errors import (
    ClientGone,
    CredentialUnavailable,
    GatewayError,
    LimitError,
    LossRefused,
    NotBuilt,
    RequestError,
    StreamInterrupted,
    UpstreamError,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
    upstream_message,
)
from omni_wire.told_error import error_of

# About the request itself: another account of the same provider would say the same.
_ABOUT_THE_REQUEST = frozenset({400, 404, 405, 413, 415, 422})


def from_status(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error for an answer that is not 200; the provider's status is kept, as SDKs choose their exception class by
    it."""
    retry_after = _wait(headers)
    if retry_after is None and (told := _RETRY_DELAY.search(body)):
        retry_after = _seconds(told[1].decode())
    return error_of(upstream_message(body), status, retry_after)


# Google tells it in the body (google.rpc.RetryInfo), as a number of seconds with an "s".
_RETRY_DELAY = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by ``retry-after-ms`` (OpenAI's and Azure's) or ``retry-after``. One that is a date is counted
    from the answer's own, so that no two clocks need agree."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if value is None or seconds is not None:
        return seconds
    try:
        left = (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):  # the middle one: only one of them knows its time zone
        return None
    return min(max(left, 0.0), 1e9)


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 1e9 else None


def same_account_may_help(error: GatewayError) -> bool:
    """Worth another try of the same account: the failure looks passing, and nothing was refused."""
    return isinstance(error, (UpstreamFailed, UpstreamUnreachable, UpstreamTimeout, StreamInterrupted))


def other_account_may_help(error: GatewayError) -> bool:
    """False when the provider objected to the request itself, or its format cannot say all of it to a client who is
    strict; the next provider in a combo may still take it."""
    return not isinstance(error, LossRefused) and not (
        isinstance(error, UpstreamRejected) and error.status in _ABOUT_THE_REQUEST
    )


def other_candidate_may_help(error: GatewayError) -> bool:
    return isinstance(error, (UpstreamError, CredentialUnavailable, LossRefused, NotBuilt))


def is_the_clients(error: GatewayError) -> bool:
    """The client's own doing, and nothing an operator would look into."""
    if isinstance(error, UpstreamRejected):
        return error.status in _ABOUT_THE_REQUEST
    return isinstance(error, (RequestError, LimitError, ClientGone, Hurried))


def may_be_quoted(error: GatewayError) -> bool:
    """Whether its message is in our words: a provider's may repeat what it was asked."""
    return not isinstance(error, (UpstreamFailed, UpstreamRejected))


# Of a provider's refusals, those that are about the account whoever asks and whatever for. The rest (403, 408, 409 …)
# one client's choice of model or content can cause, and it must not close the account to all others.
_ABOUT_THE_ACCOUNT = frozenset({401, 402, 429})


class Unheard(UpstreamTimeout):
    """The time was up, but this process itself had been held up, so the provider may have answered in time.

    Its base to everybody but the breaker.
    """


class Hurried(UpstreamTimeout):
    """The time was up that the request gave itself, shorter than what is configured.

    Its base to everybody but the breaker and who looks for faults.
    """


def breaker_evidence(error: GatewayError | None) -> str:
    """ "success", "failure", or "neutral" for what says nothing about the account."""
    if error is None:
        return "success"
    if isinstance(error, (Unheard, Hurried)):
        return "neutral"
    if isinstance(error, UpstreamRejected):
        return "failure" if error.status in _ABOUT_THE_ACCOUNT else "neutral"
    return "failure" if isinstance(error, UpstreamError) else "neutral"
