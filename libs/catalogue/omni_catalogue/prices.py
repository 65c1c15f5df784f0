"""What a model costs: rates, when they came into force, for whom, and what an answer costs at them. Pure.

Nano-USD throughout: per million tokens for rates (1.25 USD per 1M is 1_250_000_000), so that sums are exact. Who
reserves, who settles and who looks at the past again all count with ``cost``.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from omni_wire.usage import Apart, Usage

_MILLION = 1_000_000
_NONE_APART = Apart()


class Special(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rates of tokens that a provider tells apart; None is what tokens of their kind cost: ``cache_write_1h`` of what
    is written to the cache, the others of plain input and of output. ``request`` is nano-USD for a request with any
    tokens at all."""

    cache_write_1h: int | None = None
    audio_input: int | None = None
    image_input: int | None = None
    audio_output: int | None = None
    image_output: int | None = None
    request: int = 0


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """``cached_input`` and ``cache_write`` default to ``input``; ``reasoning`` None is ``output``. ``above`` are what a
    whole request costs instead whose input has more tokens than so many, from the fewest; those have none themselves.
    ``special`` is None where nothing has a rate of its own. ``batch`` is what an answer costs instead whose provider
    says that it was processed as batches are (``Apart.tier``); it has neither steps nor a ``batch``.
    """

    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int | None = None
    above: tuple["Above", ...] = ()
    special: Special | None = None
    batch: "Price | None" = None


class Above(msgspec.Struct, frozen=True):
    tokens: int
    price: Price


class Dated(msgspec.Struct, frozen=True):
    """A price from ``from_ms`` on (epoch milliseconds; 0: since ever)."""

    from_ms: int
    price: Price


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one ``account`` (id) of a provider costs, or what one ``organisation`` pays, or one at the other; the empty
    one is any. ``changes`` are later prices, from the first."""

    account: str = ""
    organisation: str = ""
    price: Price
    changes: tuple[Dated, ...] = ()


History = tuple[Dated, ...]
"""What somebody pays, from the first price, which is since ever, to the last; empty where there is none."""


def history(price: Price | None, changes: History, terms: Iterable[Terms], account: str, organisation: str) -> History:
    """What ``organisation`` pays for a model at ``account``: terms of both, else of the organisation, else of the
    account, else what everybody pays."""
    mine = [
        each
        for each in terms
        if each.account in ("", account) and each.organisation in ("", organisation)
    ]  # fmt: skip
    if mine:
        best = max(mine, key=lambda each: (bool(each.organisation), bool(each.account)))
        return (Dated(0, best.price), *best.changes)
    return (Dated(0, price), *changes) if price is not None else ()


def in_force(found: History, at_ms: int) -> Dated | None:
    """The price at that time; None where there is none at all."""
    for row in reversed(found):
        if at_ms >= row.from_ms:
            return row
    return None


def version(row: Dated) -> str:
    """Twelve digits that stand for these rates from that date on: alike wherever and whenever they are worked out, also
    by a version of us that knows more rates."""
    said = {"from_ms": row.from_ms, **_said(msgspec.to_builtins(row.price))}
    return hashlib.blake2b(msgspec.json.encode(said, order="sorted"), digest_size=6).hexdigest()


def _said(value: Any) -> Any:
    """Without what is left unsaid."""
    if isinstance(value, dict):
        return {key: _said(item) for key, item in value.items() if item is not None and item != [] and item != {}}
    return list(map(_said, value)) if isinstance(value, list) else value


def scaled(price: Price, millionths: int) -> Price:
    """Each of its rates as so many millionths of it, rounded up; without steps."""

    def part(rate: int) -> int:
        return -(-rate * millionths // _MILLION)

    special = price.special
    return Price(
        input=part(price.input),
        output=part(price.output),
        cached_input=part(price.cached_input),
        cache_write=part(price.cache_write),
        reasoning=part(price.reasoning) if price.reasoning is not None else None,
        special=Special(
            **{name: part(rate) for name in Special.__struct_fields__ if (rate := getattr(special, name)) is not None}
        )
        if special is not None
        else None,
    )


# ---- what an answer costs -------------------------------------------------------------------------------------------


def price_at(price: Price, input_tokens: int) -> Price:
    """What a request with so much input costs."""
    for step in reversed(price.above):
        if input_tokens > step.tokens:
            return step.price
    return price


def cost(usage: Usage, price: Price | None) -> int:
    """What ``usage`` costs, rounded up; 0 without a price. What is told apart counts once: tokens of the cache are of
    no other kind, and thoughts neither."""
    if price is None:
        return 0
    if price.above:
        price = price_at(price, usage.input_tokens)
    if price.batch is not None and usage.apart is not None and usage.apart.tier:
        price = price.batch
    cached, written, thought = usage.cached_input_tokens, usage.cache_write_tokens, 0
    plain = max(usage.input_tokens - cached - written, 0)
    if price.reasoning is not None:
        thought = min(usage.reasoning_tokens, usage.output_tokens)
    said = usage.output_tokens - thought
    total = (
        plain * price.input
        + cached * price.cached_input
        + written * price.cache_write
        + said * price.output
        + thought * (price.reasoning or 0)
    )
    if price.special is not None:
        total += _besides(usage, price, price.special, plain, said)
    return _up(total)


def cost_of(price: Price, tokens: int, cached: int, written: int, output: int) -> int:
    """``cost`` of an answer of which no more is known than its ``tokens`` of input, how many of these are read from the
    prompt cache and ``written`` to it, and its output."""
    if price.above:
        price = price_at(price, tokens)
    plain = max(tokens - cached - written, 0)
    total = plain * price.input + cached * price.cached_input + written * price.cache_write + output * price.output
    if price.special is not None and (tokens or output):
        total += price.special.request * _MILLION
    return _up(total)


def _besides(usage: Usage, price: Price, special: Special, plain: int, said: int) -> int:
    """What the special rates add to what was counted at the common ones; less than nothing where they are lower."""
    told = usage.apart or _NONE_APART
    heard, drawn = min(told.audio_input_tokens, plain), min(told.audio_output_tokens, said)
    parts = (
        (min(told.cache_write_1h_tokens, usage.cache_write_tokens), special.cache_write_1h, price.cache_write),
        (heard, special.audio_input, price.input),
        (min(told.image_input_tokens, plain - heard), special.image_input, price.input),
        (drawn, special.audio_output, price.output),
        (min(told.image_output_tokens, said - drawn), special.image_output, price.output),
    )
    fee = special.request * _MILLION if usage.input_tokens or usage.output_tokens else 0
    return fee + sum(count * (rate - common) for count, rate, common in parts if rate is not None)


# ---- what it can cost at most ---------------------------------------------------------------------------------------


class Ceilings(msgspec.Struct, frozen=True):
    """Nano-USD at most: of a million tokens of ``input``, of one token of ``output``, of the ``request`` itself."""

    input: int
    output: int
    request: int

    def of_input(self, tokens: int) -> int:
        """The most that a request with ``tokens`` of input can cost before any output."""
        return _up(tokens * self.input) + self.request


def ceilings(price: Price, most: int) -> Ceilings:
    """Whichever way tokens are billed, where the input has ``most`` of them, or fewer; rounded up, so that what is
    reserved never falls short."""
    reachable = [price, *(step.price for step in price.above if most > step.tokens)]
    reachable += [each.batch for each in reachable if each.batch is not None]
    return Ceilings(
        max(max(_inputs(each)) for each in reachable),
        _up(max(max(_outputs(each)) for each in reachable)),
        max(each.special.request if each.special is not None else 0 for each in reachable),
    )


def _inputs(price: Price) -> Iterator[int]:
    yield from (price.input, price.cache_write, price.cached_input)
    if (special := price.special) is not None:
        yield from (special.cache_write_1h or 0, special.audio_input or 0, special.image_input or 0)


def _outputs(price: Price) -> Iterator[int]:
    yield from (price.output, price.reasoning or 0)
    if (special := price.special) is not None:
        yield from (special.audio_output or 0, special.image_output or 0)


def prices_hours(price: Price) -> bool:
    """Whether it says what is cached for an hour costs, however large a request is."""
    every = (price, *(step.price for step in price.above))
    return all(each.special is not None and each.special.cache_write_1h is not None for each in every)


def dearest(prices: Iterable[Price]) -> Price:
    """Of each kind of token the dearest, whatever the size of a request."""
    sizes = [each for price in prices for each in (price, *(step.price for step in price.above))]
    every = sizes + [each.batch for each in sizes if each.batch is not None]
    special = [price.special for price in every if price.special is not None]
    return Price(
        input=max(price.input for price in every),
        output=max(price.output for price in every),
        cached_input=max(price.cached_input for price in every),
        cache_write=max(price.cache_write for price in every),
        reasoning=max(price.output if price.reasoning is None else price.reasoning for price in every)
        if any(price.reasoning is not None for price in every)
        else None,
        special=Special(
            cache_write_1h=max(_rate(price, "cache_write_1h", price.cache_write) for price in every),
            audio_input=max(_rate(price, "audio_input", price.input) for price in every),
            image_input=max(_rate(price, "image_input", price.input) for price in every),
            audio_output=max(_rate(price, "audio_output", price.output) for price in every),
            image_output=max(_rate(price, "image_output", price.output) for price in every),
            request=max(each.request for each in special),
        )
        if special
        else None,
    )


def _rate(price: Price, name: str, common: int) -> int:
    found: int | None = getattr(price.special, name) if price.special is not None else None
    return common if found is None else found


def _up(nano_per_million_times_tokens: int) -> int:
    return -(-nano_per_million_times_tokens // _MILLION)
