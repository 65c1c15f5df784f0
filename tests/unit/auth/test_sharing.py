"""Which keys a limit is of, whatever organisations, teams and users there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.compilation import file_key_policy
from omni_auth.domain.entities import Entity
from omni_auth.domain.objects import Held, HeldKey
from omni_auth.domain.sections.limits import KeySection, LimitEntry
from omni_auth.domain.sharing import Whose, of_file, of_store
from omni_catalogue.snapshot import Limit
from pydantic import ValidationError

ORGANISATIONS, IDS = ("default", "guests"), ("a", "b")
limits = st.tuples(st.sampled_from(ORGANISATIONS), st.sampled_from(("", "team", "user", "key")), st.sampled_from(IDS))
keys = st.tuples(
    st.sampled_from(IDS), st.sampled_from(ORGANISATIONS), st.none() | st.sampled_from(IDS),
    st.none() | st.sampled_from(IDS),
)  # fmt: skip


def stored(number: int, organisation: str, of: str, target: str, **document: str) -> Entity:
    return Entity(
        kind="limits",
        id=f"l{number}",
        organisation=organisation,
        document={"name": "n", "requests_per_minute": "5"} | document,
        relations={of: target} if of else {},
    )


@given(st.lists(limits, max_size=8), st.lists(keys, max_size=6))
def test_a_limit_applies_to_the_keys_of_its_organisation_that_are_of_its_owner(
    made: list[tuple[str, str, str]], policies: list[tuple[str, str, str | None, str | None]]
) -> None:
    held = Held([stored(i, *one) for i, one in enumerate(made)], [HeldKey(key, key) for key in IDS])
    found, told = of_store(held)
    assert (len(found), told) == (len(made), [])
    for key, organisation, team, user in policies:
        whose = Whose(key, organisation, team, user)
        mine = {"team": team, "user": user, "key": key}
        for shared, (of_organisation, of, target) in zip(found, made, strict=True):
            expected = of_organisation == organisation and (not of or mine[of] == target)
            assert shared.applies_to(whose) is expected


def test_a_limit_that_cannot_be_read_is_left_out_and_told_and_one_of_a_revoked_key_is_only_left_out() -> None:
    later = stored(1, "default", "", "", tokens_per_minute="5")
    found, told = of_store(Held([later, stored(2, "default", "key", "gone"), stored(3, "default", "", "")]))
    assert [one.limit.id for one in found] == ["l3"]
    (line,) = told
    assert line.startswith("left out: limits/n: tokens_per_minute: unknown key")


def test_a_limit_of_the_gateways_own_file_has_an_id_that_stays() -> None:
    entries = [
        LimitEntry.model_validate({"name": "n", "requests_per_minute": "5"} | more) for more in ({}, {"key": "ci"})
    ]
    whole, key = of_file(entries)
    assert whole.limit == Limit(id="limit-n", name="n", requests_per_minute=5)
    assert (key.limit.id, key.limit.of, key.limit.owner) == ("limit-key/ci/n", "key", "ci")
    assert [one.applies_to(Whose("key-ci")) for one in (whole, key)] == [True, True]
    assert [one.applies_to(Whose("key-cd")) for one in (whole, key)] == [True, False]
    assert [one.applies_to(Whose("key-ci", "guests")) for one in (whole, key)] == [False, False]


def test_what_refuses_is_closed_while_redis_is_away_unless_it_says_otherwise_and_the_rest_says_nothing() -> None:
    documents: tuple[dict[str, str], ...] = ({}, {"when_away": "open"}, {"mode": "soft"}, {"mode": "shadow"})
    entries = [LimitEntry.model_validate({"name": "n", "requests_per_minute": "5"} | more) for more in documents]
    assert [shared.limit.when_away for shared in of_file(entries)] == ["closed", "open", "", ""]


def test_a_keys_own_limits_are_closed_unless_it_says_otherwise_which_takes_some() -> None:
    named = {"name": "k", "secret": {"env": "K"}}
    closed, opened = (
        file_key_policy(KeySection.model_validate(named | {"budget": {"usd": "5"}} | more))
        for more in ({}, {"when_away": "open"})
    )
    assert (closed.own_when_away, opened.own_when_away) == ("closed", "open")
    assert file_key_policy(KeySection.model_validate(named)).own_when_away == "", "it has none"
    with pytest.raises(ValidationError, match="goes with limits or a budget of the key's own"):
        KeySection.model_validate(named | {"when_away": "open"})


def test_a_hard_limit_of_money_that_rolls_tells_at_the_percents_that_it_says() -> None:
    said = {"name": "n", "budget": {"usd": "5", "window": "5h"}, "warn": ["50", "80"]}
    (shared,) = of_file([LimitEntry.model_validate(said)])
    (money,) = shared.limit.counted().allowances
    assert (money.of, money.window, money.mode, money.warn) == ("usd", "5h", "hard", (50, 80))
    with pytest.raises(ValidationError, match="concurrent has none"):
        LimitEntry.model_validate({"name": "n", "concurrent": "5", "warn": ["50"]})
