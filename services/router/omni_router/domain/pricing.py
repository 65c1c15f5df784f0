"""What an attempt can cost at most, and what it did cost. Integers of nano-USD throughout."""

from collections.abc import Mapping, Sequence

import msgspec
from omni_catalogue.snapshot import Budget, Model, Price
from omni_wire.usage import Usage

_MILLION = 1_000_000


class Pricing(msgspec.Struct, frozen=True):
    """``mode`` is "priced", "assumed" or "unpriced"; ``price`` is None only for the last."""

    mode: str
    price: Price | None


def beyond_bounds(fields: Mapping[str, object]) -> str:
    """The first field that makes a provider bill otherwise than by tokens at the listed price, or hands the request to
    a model that was not asked for; empty when there is none. Such a request cannot be held under a USD budget."""
    for field, value in fields.items():
        if value not in (None, False, [], {}, *_HARMLESS.get(field, ())):
            return field
    return ""


# OpenRouter's own fallback: it answers from a model that this gateway was not asked for.
OTHER_MODELS = frozenset({"models", "route"})
# OpenAI: search and service tiers are billed apart; a stored prompt may hold tools that are. OpenRouter: plugins are.
# xAI: live search is, by source. Audio out has a price of its own. Anthropic: connectors, containers, fast mode and the
# choice of a region are.
BILLED_APART = OTHER_MODELS | {
    *("web_search_options", "plugins", "search_parameters", "service_tier", "serviceTier", "audio", "prompt"),
    *("mcp_servers", "container", "speed", "inference_geo"),
}
_HARMLESS: dict[str, tuple[object, ...]] = {
    "service_tier": ("auto", "default", "flex", "standard", "standard_only"),
    "serviceTier": ("flex", "standard"),
    "speed": ("standard",),
    "inference_geo": ("global",),
}


def pricing_for(model: Model, budgets: Sequence[Budget] = ()) -> Pricing | None:
    """The price to count with under all of the budgets; None when one of them refuses a model that has none.

    The strictest is heard: one that refuses, then those that assume a price, the dearest of them."""
    if model.price is not None:
        return Pricing("priced", model.price)
    strict = [budget for budget in budgets if budget.unpriced != "serve"]
    assumed = [budget.assumed_price for budget in strict if budget.unpriced == "assume" and budget.assumed_price]
    if len(assumed) < len(strict):
        return None
    return Pricing("assumed", _dearest(assumed)) if assumed else Pricing("unpriced", None)


def _dearest(prices: Sequence[Price]) -> Price:
    """Of each kind of token the dearest, whatever the size of a request, unless there is but one."""
    if len(prices) == 1:
        return prices[0]
    every = [each for price in prices for each in (price, *(step.price for step in price.above))]
    return Price(
        input=max(price.input for price in every),
        output=max(price.output for price in every),
        cached_input=max(price.cached_input for price in every),
        cache_write=max(price.cache_write for price in every),
        reasoning=max(price.output if price.reasoning is None else price.reasoning for price in every)
        if any(price.reasoning is not None for price in every)
        else None,
    )


def wanted_output(limit: int, model: Model, default: int) -> int:
    """Output tokens of one choice to reserve: the client's ``limit``, else the model's own, else ``default``; never
    more than the model can say. A limit of 0 is none."""
    wanted = limit or model.max_output or default
    return min(wanted, model.max_output) if model.max_output else wanted


def price_at(price: Price, input_tokens: int) -> Price:
    """What a request with so much input costs."""
    for step in reversed(price.above):
        if input_tokens > step.tokens:
            return step.price
    return price


def _reachable(price: Price, most: int) -> list[Price]:
    """What a request may cost whose input has ``most`` tokens, or fewer."""
    return [price, *(step.price for step in price.above if most > step.tokens)]


def dearest_input(price: Price, most: int) -> int:
    """What a million tokens of input cost at most, whichever way they are billed, where there are ``most`` of them."""
    return max(max(each.input, each.cache_write, each.cached_input) for each in _reachable(price, most))


def input_ceiling(tokens: int, dearest: int) -> int:
    """The most that ``tokens`` of input can cost at ``dearest`` a million."""
    return _up(tokens * dearest)


def output_token_ceiling(price: Price, most: int) -> int:
    """The most one output token can cost behind ``most`` tokens of input, rounded up so that a reservation never falls
    short."""
    return _up(max(max(each.output, each.reasoning or 0) for each in _reachable(price, most)))


def cost(usage: Usage, price: Price | None) -> int:
    """What ``usage`` costs; 0 without a price."""
    if price is None:
        return 0
    if price.above:
        price = price_at(price, usage.input_tokens)
    cached, written, thought = usage.cached_input_tokens, usage.cache_write_tokens, 0
    plain = max(usage.input_tokens - cached - written, 0)
    if price.reasoning is not None:
        thought = min(usage.reasoning_tokens, usage.output_tokens)
    return _up(
        plain * price.input
        + cached * price.cached_input
        + written * price.cache_write
        + (usage.output_tokens - thought) * price.output
        + thought * (price.reasoning or 0)
    )


def expected_cost(tier: str, price: Price | None, usage: Usage) -> int | None:
    """What a request is likely to cost, to compare places by: nothing on a subscription, which is paid for already, or
    where what is free has no price; None where no price is known."""
    if tier == "subscription" or (tier == "free" and price is None):
        return 0
    return cost(usage, price) if price is not None else None


def _up(nano_per_million_times_tokens: int) -> int:
    return -(-nano_per_million_times_tokens // _MILLION)
