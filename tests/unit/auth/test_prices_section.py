"""Prices with dates, special rates and other terms: what a file may say of them, and what comes of it."""

import pytest
from omni_auth.domain.configuration import load
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue.prices import Dated, Price, Special, Terms

from tests.unit.auth.test_compilation import compiled, stored_key
from tests.unit.auth.test_configuration import ENV, read_secret

GATEWAY = """
providers:
  - id: acme
    format: openai.chat
    base_url: https://acme.example/v1
    accounts: [{name: first, api_key: {value: s}}, {name: second, api_key: {value: t}}]
    models: [{id: "*"}, {id: m, price: %s}]
prices:
  - {model: n, provider: acme, %s}
"""
PLAIN = "input: 1, output: 1"
USD = 10**9


def flat(usd: int) -> Price:
    return Price(input=usd * USD, output=usd * USD, cached_input=usd * USD, cache_write=usd * USD)


def model(name: str, listed: str = "{input: 1, output: 1}", entry: str = PLAIN):
    (provider,) = compiled(GATEWAY % (listed, entry)).content.providers
    return provider.model(name)


@pytest.mark.parametrize("name", ["m", "n"])
def test_a_price_has_dates_and_terms_wherever_it_stands(name: str) -> None:
    said = """input: 1, output: 1,
      changes: [{since: 2026-12-01, input: 2, output: 2}, {since: "2027-01-01T12:00:00+02:00", input: 3, output: 3}],
      overrides: [{account: acme/second, input: 4, output: 4},
                  {organisation: lab, input: 5, output: 5, changes: [{since: 2027-02-01, input: 6, output: 6}]}]"""
    found = model(name, listed=f"{{{said}}}", entry=said)
    assert found.price == flat(1)
    assert found.changes == (Dated(1_796_083_200_000, flat(2)), Dated(1_798_797_600_000, flat(3)))
    later = (Dated(1_801_440_000_000, flat(6)),)
    assert found.terms == (
        Terms(account="acme/second", price=flat(4)),
        Terms(organisation="lab", price=flat(5), changes=later),
    )
    assert found.pays("acme/second", "lab") == (Dated(0, flat(5)), *later)


def test_what_a_provider_bills_apart_has_rates_of_its_own() -> None:
    found = model("n", entry="input: 1, output: 1, cache_write_1h: 2, audio_input: 40, image_output: 30, request: 0.01")
    special = Special(cache_write_1h=2 * USD, audio_input=40 * USD, image_output=30 * USD, request=USD // 100)
    assert found.price == Price(input=USD, output=USD, cached_input=USD, cache_write=USD, special=special)


def test_batches_cost_a_part_of_each_rate_or_rates_of_their_own_whatever_their_size() -> None:
    above = "above: [{tokens: 10, input: 2, output: 4}]"
    half = model("n", entry=f"input: 1, output: 3, {above}, batch: 0.5").price
    assert half is not None
    assert half.batch == Price(input=USD // 2, output=3 * USD // 2, cached_input=USD // 2, cache_write=USD // 2)
    assert [step.price.batch for step in half.above] == [
        Price(input=USD, output=2 * USD, cached_input=USD, cache_write=USD)
    ]
    own = model("n", entry=f"input: 1, output: 3, {above}, batch: {{input: 0.25, output: 1}}").price
    assert own is not None
    assert own.batch == own.above[0].price.batch
    assert own.batch == Price(input=USD // 4, output=USD, cached_input=USD // 4, cache_write=USD // 4)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("batch: 1.5", "prices[0].batch: must be more than 0 and at most 1"),
        ("batch: half", "prices[0].batch: must be a part of the price from 0 to 1, such as 0.5"),
        ("batch: {input: 1}", "prices[0].batch.output: is required"),
        ("changes: [{since: soon, input: 1, output: 1}]", "prices[0].changes[0].since: must be a date"),
        (
            "changes: [{since: 2027-01-01, input: 1, output: 1}, {since: 2026-01-01, input: 1, output: 1}]",
            "prices[0]: changes must go from the first to the last, each date once",
        ),
        ("overrides: [{input: 1, output: 1}]", "must be for an account or an organisation"),
        ("overrides: [{account: second, input: 1, output: 1}]", "must be an account as provider/name"),
        (
            "overrides: [{account: acme/secnd, input: 1, output: 1}]",
            "there is no account 'acme/secnd' of provider 'acme'",
        ),
        (
            "overrides: [{organisation: a, input: 1, output: 1}, {organisation: a, input: 2, output: 1}]",
            "overrides must name each account and organisation once",
        ),
        ("changes: [{since: 2027-01-01, input: 1, output: 1, changes: []}]", "changes: unknown key"),
    ],
)
def test_what_cannot_be_meant_is_told(entry: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as error:
        load(GATEWAY % ("{input: 1, output: 1}", f"{PLAIN}, {entry}"), "omniroute.yaml", ENV, read_secret)
    assert told in str(error.value)


def test_a_combo_that_is_to_be_free_takes_nothing_that_will_cost_or_costs_somebody() -> None:
    free = "input: 0, output: 0"
    text = (GATEWAY % ("{input: 0, output: 0}", free)).replace("id: acme", "id: acme\n    tier: free")
    combo = "combos: [{name: c, free_only: on, targets: [acme/n]}]\n"
    load(text + combo, "omniroute.yaml", ENV, read_secret)
    later = "changes: [{since: 2030-01-01, input: 0, output: 1}]"
    theirs = "overrides: [{organisation: a, input: 0, output: 0, request: 1}]"
    for more in (later, theirs):
        with pytest.raises(ConfigErrors, match="costs: it has a price"):
            load(text.replace(f"acme, {free}", f"acme, {free}, {more}") + combo, "omniroute.yaml", ENV, read_secret)


def test_a_stored_key_says_whose_it_is() -> None:
    (policy,) = [
        key for key in compiled(stored=(stored_key(organisation="lab"),)).content.keys if key.id == stored_key().id
    ]
    assert policy.organisation == "lab"
