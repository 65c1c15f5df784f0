"""A request's way through its candidates: who is passed over, who is the last resort, what it ends in."""

from types import SimpleNamespace
from typing import Any

import pytest
from omni_catalogue.snapshot import Account, Model, Provider
from omni_router.domain.circuits import Circuits
from omni_router.domain.walk import Skip, Walk
from omni_wire.errors import (
    BudgetExhausted,
    CredentialUnavailable,
    GatewayError,
    NoCandidate,
    RateLimited,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from omni_wire.formats import WireFormat


def offer(name: str, model: str = "m", combo: str = "best") -> Any:
    """As far as a walk looks at one: "acme/first" for a model."""
    provider = name.partition("/")[0]
    account = Account(id=name, name=name.partition("/")[2], secret_version="1")
    return SimpleNamespace(
        candidate=SimpleNamespace(
            account=account,
            model=Model(id=model),
            provider=Provider(
                id=provider, format=WireFormat.OPENAI_CHAT, base_url="http://x", accounts=(account,), models=()
            ),
        ),
        circuits=Circuits(name, f"{name} {model}", f"target:{combo} {provider}/{model}"),
    )


A1, A2, B = offer("a/1"), offer("a/2"), offer("b/1")


def skip(of: Any, circuit: str = "", cause: str = "failing", wait: float = 9.0, told: bool = False) -> Skip:
    return Skip(of, circuit or of.circuits.seat, cause, wait, told)


def failing(*failures: tuple[Any, GatewayError]) -> Walk:
    walk = Walk()
    for of, error in failures:
        walk.failed(of, error)
    return walk


def test_a_provider_that_refused_the_request_itself_is_not_asked_by_another_account() -> None:
    walk = failing((A1, UpstreamRejected("no", status=400)))
    assert walk.passes_over(A2)
    assert not walk.passes_over(B)
    walk.failed(B, UpstreamFailed("broken"))
    assert not walk.passes_over(A2)


def test_the_trail_has_all_that_happened_as_it_happened() -> None:
    walk = Walk()
    assert walk.trail == ()
    walk.skipped(skip(A1, "a/1"))
    assert walk.passes_over(offer("a/1", model="n"))
    walk.failed(B, UpstreamRejected("no", status=400), 7)
    assert walk.passes_over(offer("b/2"))
    told = [(each.offer.candidate.account.id, getattr(each, "cause", "asked")) for each in walk.trail]
    assert told == [("a/1", "failing"), ("a/1", "failing"), ("b/1", "asked"), ("b/2", "request_refused")]


@pytest.mark.parametrize(
    ("circuit", "others"),
    [
        ("a/1 m", []),
        ("a/1", ["other model"]),
        ("target:best a/m", ["other account"]),
    ],
)
def test_who_shares_an_open_circuit_is_not_asked_either(circuit: str, others: list[str]) -> None:
    walk = Walk()
    walk.skipped(skip(A1, circuit))
    shared = {"other model": offer("a/1", "n"), "other account": A2}
    assert [name for name, one in shared.items() if walk.passes_over(one)] == others
    assert len(walk.skips) == 1 + len(others)


def test_the_last_resort_is_who_is_only_suspected_and_nearest_to_its_time() -> None:
    walk = Walk()
    assert walk.last_resort() is None
    walk.skipped(skip(A1, wait=3.0, told=True))
    assert walk.last_resort() is None
    walk.skipped(skip(A2, wait=9.0))
    walk.skipped(skip(B, wait=5.0))
    assert walk.last_resort() is B
    walk.failed(A2, UpstreamFailed("x"))
    assert walk.last_resort() is None, "somebody was asked"


def test_one_failure_is_the_requests_own_error() -> None:
    error = UpstreamTimeout("[a/m] no answer in time")
    assert failing((A1, error)).error("best") is error


def test_several_are_one_error_that_names_each_cause_once_and_the_soonest_wait() -> None:
    walk = failing(
        (A1, UpstreamRejected("[a/m] slow down", status=429, retry_after=20.0)),
        (A2, UpstreamRejected("[a/m] slow down", status=429, retry_after=7.0)),
        (B, UpstreamRejected("[b/m] no such model", status=404)),
    )
    walk.skipped(skip(offer("c/1"), cause="quota", wait=11.2, told=True))
    error = walk.error("best")
    assert (error.kind, error.status, error.retry_after) == ("upstream_rejected", 429, 7.0)
    assert error.message == (
        "[a/m] slow down (2 times); [b/m] no such model; [c/m] was not asked, as its quota is used up, for 12 s more"
    )


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([UpstreamRejected("", status=429), UpstreamRejected("", status=400)], 429),
        ([UpstreamFailed("", status=503), UpstreamTimeout("")], 504),
        ([UpstreamTimeout(""), UpstreamRejected("", status=401)], 504),
        ([UpstreamRejected("", status=404), UpstreamRejected("", status=400)], 400),
        ([CredentialUnavailable(""), UpstreamRejected("", status=403)], 503),
    ],
)
def test_what_may_pass_decides_the_status_so_that_the_client_may_try_again(
    errors: list[GatewayError], status: int
) -> None:
    assert failing(*((A1, error) for error in errors)).error("best").status == status


@pytest.mark.parametrize(
    ("causes", "status"), [(("rate_limit", "quota"), 429), (("rate_limit", "failing"), 503), (("refused",), 503)]
)
def test_when_all_are_passed_over_the_error_says_when_to_come_again(causes: tuple[str, ...], status: int) -> None:
    walk = Walk()
    for i, cause in enumerate(causes):
        walk.skipped(skip(offer(f"p{i}/1"), cause=cause, wait=30.0 - i))
    error = walk.error("best")
    assert isinstance(error, NoCandidate)
    assert (error.status, error.retry_after) == (status, 31.0 - len(causes))
    assert "'best'" in error.message


@pytest.mark.parametrize(
    ("causes", "kind", "status", "wait"),
    [
        ((("limit", 30.0), ("limit_spent", 0.0), ("limit", 7.0)), RateLimited, 429, 7.0),
        ((("limit_spent", 0.0), ("limit_spent", 99.0)), BudgetExhausted, 402, None),
        ((("limit_spent", 0.0), ("rate_limit", 9.0)), NoCandidate, 429, 9.0),
        ((("limit", 3.0), ("failing", 9.0)), NoCandidate, 503, 3.0),
    ],
)
def test_of_limits_of_what_is_upstream_the_client_is_told_when_to_come_again_and_no_names(
    causes: tuple[tuple[str, float], ...], kind: type[GatewayError], status: int, wait: float | None
) -> None:
    walk = Walk()
    for i, (cause, seconds) in enumerate(causes):
        walk.skipped(skip(offer(f"p{i}/1"), circuit="limit:secret", cause=cause, wait=seconds))
    error = walk.error("best")
    assert type(error) is kind
    assert (error.status, error.retry_after) == (status, wait)
    assert "secret" not in error.message
    assert walk.soonest() is None or "rate_limit" in dict(causes), "nobody waits for one in a queue"
    assert (walk.last_resort() is None) == ("failing" not in dict(causes) and "rate_limit" not in dict(causes))


def test_a_failure_beside_a_limit_is_told_with_it() -> None:
    walk = failing((A1, UpstreamFailed("broken")))
    walk.skipped(skip(B, circuit="limit:secret", cause="limit_spent", wait=0.0))
    error = walk.error("best")
    assert "[b/m] was not asked, as what this gateway may use of it is used up" in error.message
    assert "secret" not in error.message
    assert error.retry_after is None


def test_many_causes_are_cut_short() -> None:
    walk = failing(*((offer(f"p{i}/1"), UpstreamFailed(f"[p{i}/m] " + "x" * 900)) for i in range(25)))
    message = walk.error("best").message
    assert message.endswith("; and 5 more")
    assert len(message) < 20 * 320
