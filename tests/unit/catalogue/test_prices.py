"""What somebody pays, when, and what an answer costs then."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.prices import Above, Dated, Price, Special, Terms, cost, history, in_force, scaled, version
from omni_wire.usage import Apart, Usage

nano = st.integers(0, 10**12)
unsaid = st.none() | nano
prices = st.builds(Price, input=nano, output=nano, cached_input=nano, cache_write=nano, reasoning=unsaid)
dates = st.lists(st.integers(1, 10**13), max_size=5, unique=True).map(sorted)
changes = dates.flatmap(lambda days: st.tuples(*(st.builds(Dated, st.just(day), prices) for day in days)))


def flat(each: int) -> Price:
    return Price(input=each, output=each, cached_input=each, cache_write=each)


@given(price=prices, later=changes, at=st.integers(0, 2 * 10**13))
def test_at_any_time_the_last_price_that_came_into_force_before_it_is_paid(price, later, at) -> None:
    found = in_force(history(price, later, (), "a/x", "o"), at)
    assert found is not None
    assert found.from_ms <= at
    assert all(row.from_ms <= found.from_ms or row.from_ms > at for row in later)
    assert found.price == next((row.price for row in reversed(later) if row.from_ms <= at), price)


def test_a_price_holds_from_the_first_millisecond_of_its_date() -> None:
    rows = history(flat(1), (Dated(1000, flat(2)),), (), "", "")
    assert [in_force(rows, at).price for at in (0, 999, 1000)] == [flat(1), flat(1), flat(2)]


@pytest.mark.parametrize(
    ("account", "organisation", "paid"),
    [("a/x", "o", 4), ("a/y", "o", 3), ("a/x", "p", 2), ("a/y", "p", 1)],
)
def test_what_an_organisation_agreed_on_goes_before_what_an_account_costs(account, organisation, paid) -> None:
    terms = (
        Terms(account="a/x", price=flat(2)),
        Terms(organisation="o", price=flat(3)),
        Terms(account="a/x", organisation="o", price=flat(4)),
    )
    assert history(flat(1), (), terms, account, organisation) == (Dated(0, flat(paid)),)


def test_terms_have_dates_of_their_own_and_nothing_of_everybodys() -> None:
    later = Dated(5, flat(9))
    terms = (Terms(account="a/x", price=flat(2), changes=(later,)),)
    assert history(None, (Dated(1, flat(7)),), terms, "a/x", "o") == (Dated(0, flat(2)), later)
    assert history(None, (Dated(1, flat(7)),), terms, "a/y", "o") == ()


def test_a_version_stands_for_rates_and_date_and_is_the_same_for_ever() -> None:
    row = Dated(0, Price(input=1_250_000_000, output=10**10, cached_input=125_000_000, cache_write=1_250_000_000))
    assert version(row) == "3c503ebfd6d8"
    assert version(Dated(1, row.price)) != version(row) != version(Dated(0, flat(1)))


@given(prices, prices, st.integers(0, 10), st.integers(0, 10))
def test_two_prices_have_one_version_only_where_they_are_alike(one, other, then, later) -> None:
    assert (version(Dated(then, one)) == version(Dated(later, other))) == ((then, one) == (later, other))


def test_what_a_provider_counts_apart_costs_its_own_rate_and_counts_once() -> None:
    price = Price(
        input=10**6, output=2 * 10**6, cached_input=10**5, cache_write=10**6, reasoning=3 * 10**6,
        special=Special(cache_write_1h=2 * 10**6, audio_input=10**7, image_output=10**8, request=5),
    )  # fmt: skip
    told = Apart(
        cache_write_1h_tokens=20, audio_input_tokens=30, image_input_tokens=1, audio_output_tokens=4,
        image_output_tokens=10,
    )  # fmt: skip
    usage = Usage(100, 10, 25, 50, 15, apart=told)
    given = (100 - 10 - 25 - 30) * 1 + 10 * 0.1 + (25 - 20) * 1 + 20 * 2 + 30 * 10
    said = 15 * 3 + (50 - 15 - 10) * 2 + 10 * 100
    assert cost(usage, price) == given + said + 5
    assert cost(Usage(), price) == 0, "nothing was used"


def test_an_answer_of_a_batch_costs_the_rates_of_batches_where_there_are_any() -> None:
    price = Price(
        input=3 * 10**6, output=11, cached_input=3 * 10**5, cache_write=3 * 10**6, reasoning=7,
        special=Special(audio_input=5, request=3),
    )  # fmt: skip
    half = scaled(price, 500_000)
    assert half == Price(
        input=1_500_000, output=6, cached_input=150_000, cache_write=1_500_000, reasoning=4,
        special=Special(audio_input=3, request=2),
    )  # fmt: skip
    with_batch = msgspec.structs.replace(price, batch=half)
    plain, flex = Usage(100, 20, output_tokens=5), Usage(100, 20, output_tokens=5, apart=Apart(tier="flex"))
    assert cost(plain, with_batch) == cost(flex, price) == cost(plain, price)
    assert cost(flex, with_batch) == cost(plain, half) < cost(plain, price)
    assert version(Dated(0, with_batch)) != version(Dated(0, price))


def test_more_than_there_is_of_something_counts_for_no_more_than_there_is() -> None:
    price = Price(
        input=1, output=1, cached_input=1, cache_write=1, special=Special(audio_input=10**6, image_input=10**6)
    )
    assert cost(Usage(10, 4, apart=Apart(audio_input_tokens=99, image_input_tokens=99)), price) == 6 + 1


def test_a_tier_of_a_price_has_special_rates_of_its_own() -> None:
    step = Price(input=0, output=0, cached_input=0, cache_write=0, special=Special(audio_input=2 * 10**6))
    price = Price(input=0, output=0, cached_input=0, cache_write=0, above=(Above(10, step),))
    told = Apart(audio_input_tokens=10)
    assert [cost(Usage(size, apart=told), price) for size in (10, 11)] == [0, 20]
