"""What an attempt can cost at most, and what it did cost. Integers of nano-USD throughout."""

import msgspec
from omni_catalogue.snapshot import Budget, Model, Price
from omni_wire.usage import Usage

_MILLION = 1_000_000

# The dearest image a listed provider bills for its own tiles: gpt-4o-mini, 2,833 + 5,667 tokens for each of 8 tiles
# (platform.openai.com/docs/guides/images-vision). A link or a few bytes can stand for one, so bytes do not bound it.
IMAGE_TOKENS = 48_169
# Anthropic adds a hidden system prompt of at most 530 tokens when tools are offered (docs.anthropic.com, tool use).
TOOL_PROMPT_TOKENS = 530


class Pricing(msgspec.Struct, frozen=True):
    """``mode`` is "priced", "assumed" or "unpriced"; ``price`` is None only for the last."""

    mode: str
    price: Price | None


def pricing_for(model: Model, budget: Budget | None) -> Pricing | None:
    """The price to count with; None when the budget refuses a model that has none."""
    if model.price is not None:
        return Pricing("priced", model.price)
    if budget is None or budget.unpriced == "serve":
        return Pricing("unpriced", None)
    if budget.unpriced == "assume" and budget.assumed_price is not None:
        return Pricing("assumed", budget.assumed_price)
    return None


def wanted_output(limit: int, model: Model, default: int) -> int:
    """Output tokens of one choice to reserve: the client's ``limit``, else the model's own, else ``default``; never
    more than the model can say. A limit of 0 is none."""
    wanted = limit or model.max_output or default
    return min(wanted, model.max_output) if model.max_output else wanted


def input_bound(body: bytes) -> int:
    """Tokens that ``body`` cannot exceed: one a byte (a token is at least one byte of the text it stands for; JSON's
    own punctuation outweighs the few tokens that frame a message), the table's for each image, and tool prompts."""
    images = -(-body.count(b'"image_url"') // 2)  # a part's type and its field both say so
    tools = TOOL_PROMPT_TOKENS if b'"tools"' in body else 0
    return len(body) + images * IMAGE_TOKENS + tools


def input_ceiling(tokens: int, price: Price) -> int:
    """The most that ``tokens`` of input can cost, whichever way they are billed."""
    return _up(tokens * max(price.input, price.cache_write, price.cached_input))


def output_token_ceiling(price: Price) -> int:
    """The most one output token can cost, rounded up so that a reservation never falls short."""
    return _up(price.output)


def cost(usage: Usage, price: Price | None) -> int:
    """What ``usage`` costs; 0 without a price."""
    if price is None:
        return 0
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    plain = max(usage.input_tokens - cached - written, 0)
    return _up(
        plain * price.input
        + cached * price.cached_input
        + written * price.cache_write
        + usage.output_tokens * price.output
    )


def _up(nano_per_million_times_tokens: int) -> int:
    return -(-nano_per_million_times_tokens // _MILLION)
