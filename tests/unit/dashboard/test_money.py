"""Prices in force, statements, and costs of the past that are corrected, with what is written down of it."""

import msgspec
from omni_catalogue.prices import Dated, Price, Special, Terms
from omni_catalogue.snapshot import Account, Model, Provider
from omni_core.ports.configuration import ConfigObject
from omni_wire.formats import WireFormat

from tests.unit.dashboard.ports import ADMIN, House, is_problem

DAY = 86_400_000


def flat(rate: int) -> Price:
    return Price(input=rate, output=rate, cached_input=rate, cache_write=rate)


def with_prices(house: House) -> None:
    model = Model(
        id="gpt-x",
        price=flat(10**9),
        changes=(Dated(1_000, flat(2 * 10**9)), Dated(2**45, flat(3 * 10**9))),
        terms=(Terms(account="acme/b", price=flat(0)),),
    )
    other = Model(id="n", price=msgspec.structs.replace(flat(5), special=Special(audio_input=7 * 10**9)))
    account = Account(id="acme/a", name="a", secret_version="")
    house.auth.providers = (
        Provider(
            id="acme", format=WireFormat.OPENAI_CHAT, base_url="https://x", accounts=(account,), models=(model, other)
        ),
    )
    house.auth.objects["default", "prices", "*/gpt-x"] = ConfigObject("prices", "*/gpt-x", b"{}", "1", "api")


async def test_the_price_that_is_in_force_is_told_with_its_date_and_where_it_is_said(house: House) -> None:
    with_prices(house)
    found = (await house.call("GET", "/api/price-list?model=gpt-x", ADMIN)).json()["items"]
    assert [(one["account"], one["since_ms"], one["source"], one["price"]["rates"]["input"]) for one in found] == [
        ("", 1_000, "prices/*/gpt-x", "2.00"),
        ("acme/b", 0, "prices/*/gpt-x", "0.00"),
    ]
    every = (await house.call("GET", "/api/price-list?history=true", ADMIN)).json()["items"]
    assert [one["in_force"] for one in every] == [False, True, False, True, True]
    assert len({one["version"] for one in every}) == 5
    assert every[-1]["source"] == "providers/acme"
    assert every[-1]["price"]["rates"]["audio_input"] == "7.00"


async def test_a_correction_is_written_down_before_it_is_made(house: House) -> None:
    asked = {"from_ms": DAY, "until_ms": 2 * DAY}
    shown = await house.call("POST", "/api/usage/reprice", ADMIN, json=asked)
    assert shown.json()["groups"][0] == {
        "key_id": "key_dev", "provider": "acme", "model": "gpt-x", "attempts": 2, "old_nano_usd": 1000,
        "new_nano_usd": 1500, "difference_usd": "0.0000005",
    }  # fmt: skip
    assert (house.auth.noted, house.analytics.repriced) == ([], [(DAY, 2 * DAY, False)])
    done = await house.call("POST", "/api/usage/reprice", ADMIN, json=asked | {"apply": True})
    assert done.json()["applied"]
    ((action, target, before, after),) = house.auth.noted
    assert (action, target) == ("usage.reprice", f"usage/{DAY}-{2 * DAY}")
    assert (msgspec.json.decode(before)["cost_nano_usd"], msgspec.json.decode(after)["cost_nano_usd"]) == (1000, 1500)
    assert house.analytics.repriced[-1] == (DAY, 2 * DAY, True)


async def test_what_cannot_be_written_down_is_not_done(house: House) -> None:
    house.auth.failure_of_notes = True
    asked = {"from_ms": DAY, "until_ms": 2 * DAY, "apply": True}
    is_problem(await house.call("POST", "/api/usage/reprice", ADMIN, json=asked), 503)
    assert not any(apply for _, _, apply in house.analytics.repriced)


async def test_a_statement_is_of_whole_days_and_not_of_a_year(house: House) -> None:
    path = f"/api/usage/statement?provider=acme&from=1970-01-02&until={3 * DAY}"
    (line,) = (await house.call("GET", path, ADMIN)).json()["lines"]
    assert (line["day_ms"], line["model"], line["cost_nano_usd"]) == (DAY, "gpt-x", 1_250_000)
    is_problem(await house.call("GET", f"/api/usage/statement?provider=acme&from=0&until={101 * DAY}", ADMIN), 400)


async def test_the_latest_looks_at_the_books_are_told_with_one_that_is_made_now(house: House) -> None:
    await house.component.reconciler.look()
    found = (await house.call("GET", "/api/audit/usage", ADMIN)).json()
    (look,) = found["looks"]
    assert look["ok"]
    assert (await house.call("GET", "/api/audit/usage?history=0", ADMIN)).json()["looks"] == []
