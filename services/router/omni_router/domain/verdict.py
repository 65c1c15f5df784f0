"""What a provider's failure means: the client's error, whether another candidate may help."""

import re
from collections.abc import Mapping

from omni_wire.errors import (
    ClientGone,
    CredentialUnavailable,
    GatewayError,
    GuardRefused,
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
from omni_wire.told_error import error_of, error_words, told_error, told_status

from omni_router.domain.waits import retry_after, told_wait

# About the request itself: another account of the same provider would say the same.
_ABOUT_THE_REQUEST = frozenset({400, 404, 405, 413, 415, 422})


# The code of an error that says that an account has nothing left to spend, whatever its status.
QUOTA_SPENT = "upstream_quota_spent"
# How providers name it: OpenAI (platform.openai.com/docs/guides/error-codes), Codex, OpenRouter and those like them.
_SPENT = frozenset(
    (
        "insufficient_quota",
        "billing_hard_limit_reached",
        "usage_limit_reached",
        "quota_exceeded",
        "insufficient_credits",
    )
)
# Anthropic says it under 400 and with nothing but these words (docs.anthropic.com/en/api/errors).
_CREDIT_GONE = re.compile(r"your credit balance is too low", re.IGNORECASE)
# The code of an error that says that an account cannot pay for this request, but may for a smaller one. OpenRouter
# says it under 402 (openrouter.ai/docs/api-reference/errors).
UNAFFORDABLE = "upstream_unaffordable"
_UNAFFORDABLE = re.compile(r"can only afford [1-9]", re.IGNORECASE)


def from_status(status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
    """The error for an answer that is not 200; the provider's status is kept, as SDKs choose their exception class by
    it. ``now`` is in epoch seconds."""
    return _judged(error_of(upstream_message(body), status), status, headers, body, now)


def from_told(body: bytes, saying: str) -> UpstreamError:
    """The error in ``body``, which came under status 200 or in a stream; the provider's words after ours."""
    return _judged(told_error(body, saying), told_status(body), {}, body, 0.0)


def _judged(error: UpstreamError, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
    if status in (400, 402, 403, 429) and (error_words(body) & _SPENT or _CREDIT_GONE.match(upstream_message(body))):
        error.code = QUOTA_SPENT
        if status == 400:  # else nobody else would be asked, as if the request itself were wrong
            error.status = 402
    elif status == 402 and _UNAFFORDABLE.search(upstream_message(body)):
        error.code = UNAFFORDABLE
    passes = status in (402, 408, 429) or 500 <= status < 600 or error.code == QUOTA_SPENT
    error.retry_after = told_wait(headers, body, now) if passes else retry_after(headers, now)
    return error


def same_account_may_help(error: GatewayError) -> bool:
    """Worth another try of the same account: the failure looks passing, and nothing was refused."""
    return isinstance(error, (UpstreamFailed, UpstreamUnreachable, UpstreamTimeout, StreamInterrupted))


def other_account_may_help(error: GatewayError) -> bool:
    """False when the provider objected to the request itself, or its format cannot say all of it to a client who is
    strict, or a guard keeps the request from it; the next provider in a combo may still take it."""
    return not isinstance(error, LossRefused | GuardRefused) and not (
        isinstance(error, UpstreamRejected) and error.status in _ABOUT_THE_REQUEST
    )


# The code of an error that says that a guard refuses an answer: another would cost as much, and say as much.
ANSWER_REFUSED = "answer_refused"


def other_candidate_may_help(error: GatewayError) -> bool:
    if isinstance(error, GuardRefused):
        return error.code != ANSWER_REFUSED
    return isinstance(error, (UpstreamError, CredentialUnavailable, LossRefused, NotBuilt))


def may_pass(error: GatewayError) -> bool:
    """Whether the same request may be answered some time later."""
    if isinstance(error, UpstreamRejected):
        return error.status in (408, 409, 425, 429) or error.code == QUOTA_SPENT
    return isinstance(error, (UpstreamError, CredentialUnavailable))


def is_the_clients(error: GatewayError) -> bool:
    """The client's own doing, and nothing an operator would look into."""
    if isinstance(error, UpstreamRejected):
        return error.status in _ABOUT_THE_REQUEST
    return isinstance(error, (RequestError, LimitError, ClientGone, Hurried))


def may_be_quoted(error: GatewayError) -> bool:
    """Whether its message is in our words: a provider's may repeat what it was asked."""
    return not isinstance(error, (UpstreamFailed, UpstreamRejected))


class Unheard(UpstreamTimeout):
    """The time was up, but this process itself had been held up, so the provider may have answered in time.

    Its base to everybody but the breaker.
    """


class Hurried(UpstreamTimeout):
    """The time was up that the request gave itself, shorter than what is configured.

    Its base to everybody but the breaker and who looks for faults.
    """
