"""What an attempt can cost at most, and what it did cost. Integers of nano-USD throughout."""

from collections.abc import Mapping

import msgspec
from omni_catalogue.snapshot import Budget, Model, Price
from omni_wire.body import Body
from omni_wire.usage import Usage

_MILLION = 1_000_000

# The dearest image a listed provider bills for its own tiles: gpt-4o-mini, 2,833 + 5,667 tokens for each of 8 tiles
# (platform.openai.com/docs/guides/images-vision). A link or a few bytes can stand for one, so bytes do not bound it.
IMAGE_TOKENS = 48_169
# What a file, a document or a video somewhere else may hold: the largest window a listed model has.
REFERENCE_TOKENS = 1_048_576
_REFERENCES = (b'"file_id"', b'"file_url"', b'"video_url"', b'"document_url"', b'"audio_url"')
# Anthropic adds a hidden system prompt of at most 530 tokens when tools are offered (docs.anthropic.com, tool use).
TOOL_PROMPT_TOKENS = 530


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
# OpenAI: search and service tiers are billed apart. OpenRouter: plugins are. xAI: live search is, by source. Audio out
# has a price of its own.
BILLED_APART = OTHER_MODELS | {"web_search_options", "plugins", "search_parameters", "service_tier", "audio"}
_HARMLESS: dict[str, tuple[object, ...]] = {"service_tier": ("auto", "default", "flex")}


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


def input_bound(body: Body, context: int) -> int:
    """Tokens that a Chat ``body`` cannot exceed: one a byte (a token is at least one byte of the text it stands for;
    JSON's own punctuation outweighs the few tokens that frame a message), the table's for each image and for whatever
    else is only pointed at, and tool prompts; and in any case what fits into the model's ``context`` window, where that
    is known (0: it is not)."""
    bound = body.size + (TOOL_PROMPT_TOKENS if body.has("tools") else 0)
    messages = body.raw("messages")
    if b"_" in messages or b"\\" in messages:  # the marks have an underscore, plain or escaped; most talk has none
        plain = _without_escapes(messages) if b"\\u" in messages else messages
        images = -(-plain.count(b'"image_url"') // 2)  # a part's type and its field both say so
        pointed_at = sum(plain.count(mark) for mark in _REFERENCES)
        bound += images * IMAGE_TOKENS + pointed_at * REFERENCE_TOKENS
    return min(bound, context) if context else bound


def _without_escapes(text: bytes) -> bytes:
    """JSON may spell any letter of a key as an escape; written anew, every key is spelt plainly."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text  # no provider reads it either


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
