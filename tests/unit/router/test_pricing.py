"""A reservation is never less than the bill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.prices import Dated, Special, ceilings, cost, cost_of
from omni_catalogue.snapshot import Above, Budget, Price
from omni_router.domain import bounds, pricing
from omni_wire.body import Body
from omni_wire.formats import WireFormat
from omni_wire.usage import Apart, Usage

nano = st.integers(0, 10**12)
unsaid = st.none() | nano
special = st.none() | st.builds(
    Special, cache_write_1h=unsaid, audio_input=unsaid, image_input=unsaid, audio_output=unsaid, image_output=unsaid,
    request=nano,
)  # fmt: skip
rates = {
    "input": nano, "output": nano, "cached_input": nano, "cache_write": nano, "reasoning": unsaid, "special": special,
}  # fmt: skip
flat = st.builds(Price, **rates, batch=st.none() | st.builds(Price, **rates))
steps = st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(sorted)
prices = steps.flatmap(
    lambda tokens: st.builds(
        Price,
        above=st.tuples(*(st.builds(Above, st.just(most), flat) for most in tokens)),
        batch=st.none() | st.builds(Price, **rates),
        **rates,
    )
)


@given(price=prices, bound=st.integers(0, 10**6), output=st.integers(0, 10**6), data=st.data())
def test_whatever_the_provider_counts_within_the_bounds_costs_at_most_what_was_held(price, bound, output, data) -> None:
    used_in = data.draw(st.integers(0, bound))
    cached = data.draw(st.integers(0, used_in))
    written = data.draw(st.integers(0, used_in - cached))
    used_out = data.draw(st.integers(0, output))
    tiers = st.sampled_from(("", "flex", "batch"))
    told = data.draw(st.none() | st.builds(Apart, *[st.integers(0, 10**6)] * 5, tier=tiers))
    usage = Usage(used_in, cached, written, used_out, data.draw(st.integers(0, used_out)), apart=told)
    most = ceilings(price, bound)
    assert 0 <= cost(usage, price) <= most.of_input(bound) + output * most.output


@given(price=prices, tokens=st.integers(0, 10**7), output=st.integers(0, 10**6), data=st.data())
def test_what_is_expected_costs_what_is_billed_for_as_much(price, tokens, output, data) -> None:
    cached = data.draw(st.integers(0, tokens))
    written = data.draw(st.integers(0, tokens - cached))
    assert cost_of(price, tokens, cached, written, output) == cost(Usage(tokens, cached, written, output), price)


def test_the_price_of_the_documentation_is_exact() -> None:
    price = Price(input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000)
    usage = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=50)
    assert cost(usage, price) == 600 * 1250 + 400 * 125 + 50 * 10_000


def test_a_request_costs_what_its_size_does_and_thoughts_what_they_do() -> None:
    above = Price(input=2_500_000_000, output=15_000_000_000, cached_input=250_000_000, cache_write=2_500_000_000)
    price = Price(
        input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000,
        reasoning=20_000_000_000, above=(Above(200_000, above),),
    )  # fmt: skip
    assert cost(Usage(200_000, output_tokens=100), price) == 200_000 * 1250 + 100 * 10_000
    assert cost(Usage(200_001, 1, output_tokens=100), price) == 200_000 * 2500 + 250 + 100 * 15_000
    assert cost(Usage(10, output_tokens=100, reasoning_tokens=40), price) == 12_500 + 60 * 10_000 + 40 * 20_000


@given(st.lists(prices, min_size=1, max_size=3), st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_of_assumed_prices_none_is_dearer_than_the_dearest(
    assumed: list[Price], tokens: int, output: int, data: st.DataObject
) -> None:
    budgets = [Budget(nano_usd=1, unpriced="assume", assumed_price=price) for price in assumed]
    found = pricing.pricing_for((), budgets)
    assert found is not None
    usage = Usage(tokens, output_tokens=output, reasoning_tokens=data.draw(st.integers(0, output)))
    assert cost(usage, found.history[0].price) >= max(cost(usage, price) for price in assumed)
    most = ceilings(found.history[0].price, tokens)
    assert all(most.output >= ceilings(price, tokens).output for price in assumed)
    assert all(most.of_input(tokens) >= ceilings(price, tokens).of_input(tokens) for price in assumed)


def bound(raw: bytes, context: int = 0) -> int:
    return bounds.input_bound(WireFormat.OPENAI_CHAT, Body(raw), context)


IMAGE = b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}'


def test_plain_talk_is_bounded_by_its_bytes() -> None:
    raw = b'{"messages":[{"role":"user","content":"hello there"}],"max_tokens":7}'
    assert bound(raw) == len(raw)


def test_an_image_costs_more_than_its_link_has_bytes() -> None:
    assert bound(IMAGE) == len(IMAGE) + bounds.IMAGE_TOKENS


@pytest.mark.parametrize("escaped", [b"image\\u005furl", b"\\u0069mage_url"])
def test_an_image_spelt_with_escapes_is_an_image(escaped: bytes) -> None:
    raw = IMAGE.replace(b"image_url", escaped)
    assert bound(raw) == len(raw) + bounds.IMAGE_TOKENS


def test_tools_bring_a_prompt_of_their_own() -> None:
    raw = b'{"messages":[{"content":"x"}],"t\\u006fols":[]}'
    assert bound(raw) == len(raw) + bounds.TOOL_PROMPT_TOKENS


@pytest.mark.parametrize("mark", ["file_id", "file_url", "video_url"])
def test_what_is_only_pointed_at_may_fill_the_window(mark: str) -> None:
    raw = b'{"messages":[{"content":[{"type":"file","file":{"%s":"x"}}]}]}' % mark.encode()
    assert bound(raw) > bounds.REFERENCE_TOKENS
    assert bound(raw, 128_000) == 128_000


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": "default"}, ""),
        ({"models": ["a", "b"]}, "models"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"web_search_options": {}}, ""),
        ({"web_search_options": {"search_context_size": "high"}}, "web_search_options"),
        ({"audio": None}, ""),
    ],
)
def test_what_is_billed_apart_is_named(fields: dict[str, object], refused: str) -> None:
    assert pricing.beyond_bounds(fields) == refused


def test_a_budget_decides_what_happens_without_a_price() -> None:
    assumed = Price(input=1, output=1, cached_input=1, cache_write=1)
    assert pricing.pricing_for(()) == pricing.Pricing("unpriced")
    assert pricing.pricing_for((), [Budget(nano_usd=1)]) is None
    assert pricing.pricing_for((), [Budget(nano_usd=1, unpriced="serve")]) == pricing.Pricing("unpriced")
    assert pricing.pricing_for((), [Budget(nano_usd=1, unpriced="assume", assumed_price=assumed)]) == pricing.Pricing(
        "assumed", (Dated(0, assumed),)
    )


def test_of_several_budgets_the_strictest_is_heard_and_of_assumed_prices_the_dearest() -> None:
    served, refused = Budget(nano_usd=1, unpriced="serve"), Budget(nano_usd=1)
    one, other = (
        Budget(nano_usd=1, unpriced="assume", assumed_price=Price(input=i, output=o, cached_input=i, cache_write=o))
        for i, o in ((1, 9), (5, 2))
    )
    assert pricing.pricing_for((), [served, served]) == pricing.Pricing("unpriced")
    dearest = Price(input=5, output=9, cached_input=5, cache_write=9)
    assert pricing.pricing_for((), [one, served, other]) == pricing.Pricing("assumed", (Dated(0, dearest),))
    assert pricing.pricing_for((), [served, one, refused]) is None
