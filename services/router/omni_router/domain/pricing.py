"""Which price an attempt is counted with, and what is billed otherwise than by it."""

from collections.abc import Mapping, Sequence

import msgspec
from omni_catalogue.prices import Dated, History, cost_of, dearest
from omni_catalogue.snapshot import Budget, Model, Price, Provider

from omni_router.domain.conversation import Size, expected


class Pricing(msgspec.Struct, frozen=True):
    """``mode`` is "priced", "assumed" or "unpriced"; ``history`` is empty only for the last."""

    mode: str
    history: History = ()


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


def pricing_for(pays: History, budgets: Sequence[Budget] = ()) -> Pricing | None:
    """The prices to count with under all of the budgets, where ``pays`` is what is paid; None when one of them refuses
    what has no price.

    The strictest is heard: one that refuses, then those that assume a price, the dearest of them."""
    if pays:
        return Pricing("priced", pays)
    strict = [budget for budget in budgets if budget.unpriced != "serve"]
    assumed = [budget.assumed_price for budget in strict if budget.unpriced == "assume" and budget.assumed_price]
    if len(assumed) < len(strict):
        return None
    if not assumed:
        return Pricing("unpriced")
    return Pricing("assumed", (Dated(0, assumed[0] if len(assumed) == 1 else dearest(assumed)),))


def wanted_output(limit: int, model: Model, default: int) -> int:
    """Output tokens of one choice to reserve: the client's ``limit``, else the model's own, else ``default``; never
    more than the model can say. A limit of 0 is none."""
    wanted = limit or model.max_output or default
    return min(wanted, model.max_output) if model.max_output else wanted


def expected_cost(provider: Provider, price: Price | None, size: Size, warm: int = 0) -> int | None:
    """What a request is likely to cost, in nano-USD, where ``warm`` tokens of its conversation are kept ready. It is to
    compare places by: nothing on a subscription, which is paid for already, or where what is free has no price; None
    where no price is known."""
    tier = provider.tier
    if tier == "subscription" or (tier == "free" and price is None):
        return 0
    if price is None:
        return None
    cached, written = expected(provider.format, size, warm)
    return cost_of(price, size.input, cached, written, size.output)
