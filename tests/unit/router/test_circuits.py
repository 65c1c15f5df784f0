"""What an attempt says of an account, of the account for one model, and of a combo's target."""

import pytest
from omni_catalogue import circuits as names
from omni_router.domain.circuits import Circuits, Evidence, evidence
from omni_router.domain.verdict import QUOTA_SPENT, UNAFFORDABLE, Unheard
from omni_router.domain.waits import Spent
from omni_wire.errors import (
    ClientGone,
    DependencyUnavailable,
    GatewayError,
    Internal,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

ONE = Circuits("acme/first", "acme/first gpt-x", "target:best acme/gpt-x")
NEUTRAL, FAILING = ("neutral", "", 0.0), ("failure", "failing", 0.0)


@pytest.mark.parametrize(
    ("error", "account", "seat", "target"),
    [
        (UpstreamRejected("", status=401), ("cool", "refused", 0.0), NEUTRAL, NEUTRAL),
        (UpstreamRejected("", status=402), ("cool", "quota", 0.0), NEUTRAL, NEUTRAL),
        (UpstreamRejected("", status=402, code=UNAFFORDABLE), NEUTRAL, NEUTRAL, NEUTRAL),
        (UpstreamRejected("", status=429), NEUTRAL, ("cool", "rate_limit", 0.0), NEUTRAL),
        (UpstreamRejected("", status=429, retry_after=7.0), NEUTRAL, ("cool", "rate_limit", 7.0), NEUTRAL),
        (UpstreamRejected("", status=429, code=QUOTA_SPENT, retry_after=9.0), ("cool", "quota", 9.0), NEUTRAL, NEUTRAL),
        *((UpstreamRejected("", status=status), NEUTRAL, NEUTRAL, NEUTRAL) for status in (400, 403, 404, 413, 422)),
        (UpstreamFailed("", status=503), NEUTRAL, FAILING, FAILING),
        (UpstreamFailed("", status=503, retry_after=30.0), NEUTRAL, ("cool", "failing", 30.0), FAILING),
        (UpstreamTimeout(""), NEUTRAL, FAILING, FAILING),
        (StreamInterrupted(""), NEUTRAL, FAILING, FAILING),
        (UpstreamUnreachable(""), FAILING, NEUTRAL, FAILING),
        *((error, NEUTRAL, NEUTRAL, NEUTRAL)
          for error in (Unheard(""), ClientGone(""), Internal(""), DependencyUnavailable(""))),
    ],
)  # fmt: skip
def test_each_failure_is_laid_at_the_door_of_what_it_is_about(
    error: GatewayError, account: tuple[object, ...], seat: tuple[object, ...], target: tuple[object, ...]
) -> None:
    said = [(each.outcome, each.cause, each.told) for each in evidence(ONE, error)]
    assert said == [account, seat, target]
    assert [each.circuit for each in evidence(ONE, error)] == [ONE.account, ONE.seat, ONE.target]


def test_a_good_answer_speaks_for_all_of_them() -> None:
    two = Circuits("acme/first", "acme/first gpt-x")
    assert evidence(two, None) == (Evidence("acme/first", "success"), Evidence("acme/first gpt-x", "success"))


def test_a_good_answer_that_was_the_last_cools_what_it_spent() -> None:
    account, seat, _ = evidence(ONE, None, Spent(60.0, True))
    assert (account, seat.outcome) == (Evidence("acme/first", "cool", "quota", 60.0), "success")
    account, seat, _ = evidence(ONE, None, Spent(60.0, False))
    assert (account.outcome, seat) == ("success", Evidence("acme/first gpt-x", "cool", "rate_limit", 60.0))


def test_their_names_are_read_back() -> None:
    assert names.read("acme/first") == names.Circuit("acme/first")
    assert names.read(names.seat("acme/first", "a b/c")) == names.Circuit("acme/first", "a b/c")
    assert names.read(names.target("best", "acme/a b")) == names.Circuit("", "acme/a b", "best")
