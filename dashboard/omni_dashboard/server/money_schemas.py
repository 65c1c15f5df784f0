"""What is told of prices, of statements and of costs that are corrected. Money in nano-USD, and as decimal USD."""

from collections.abc import Iterable

import msgspec
from omni_catalogue.prices import Price
from omni_core.ports.analytics import Repriced, StatementLine
from pydantic import BaseModel, ConfigDict, Field

from omni_dashboard.domain.pricelist import Offered
from omni_dashboard.domain.values import MAX_MS, usd


class RatesOut(BaseModel):
    """USD per million tokens, and of ``request`` for each, as decimal texts; what has no rate of its own is left out.
    ``above`` are those of requests with more input than so many tokens, ``batch`` those of batches and flex."""

    rates: dict[str, str]
    above: list["AboveOut"] = []
    batch: "RatesOut | None" = None

    @classmethod
    def of(cls, price: Price) -> "RatesOut":
        told = {name: getattr(price, name) for name in ("input", "output", "cached_input", "cache_write", "reasoning")}
        if price.special is not None:
            told |= {name: value or None for name, value in msgspec.structs.asdict(price.special).items()}
        return cls(
            rates={name: usd(value) for name, value in told.items() if value is not None},
            above=[AboveOut(tokens=step.tokens, price=cls.of(step.price)) for step in price.above],
            batch=cls.of(price.batch) if price.batch is not None else None,
        )


class AboveOut(BaseModel):
    tokens: int
    price: RatesOut


class PriceOut(BaseModel):
    """What is paid for a model from ``since_ms`` on (epoch milliseconds; 0: since ever): by everybody, or at one
    ``account`` or by one ``organisation``. ``version`` is what usage refers to it by, ``source`` the object of the
    configuration that says so."""

    provider: str
    model: str
    account: str
    organisation: str
    since_ms: int
    in_force: bool
    version: str
    source: str
    price: RatesOut


class PricesOut(BaseModel):
    items: list[PriceOut]

    @classmethod
    def of(cls, found: Iterable[Offered]) -> "PricesOut":
        return cls(
            items=[PriceOut(**(msgspec.structs.asdict(each) | {"price": RatesOut.of(each.price)})) for each in found]
        )


class StatementLineOut(BaseModel):
    """What attempts for a model used on a day (its beginning, epoch milliseconds, UTC) that are alike in ``outcome``,
    in ``pricing``, in whether their counts are ``estimated`` here, and in what is ``suspect`` of them."""

    day_ms: int
    model: str
    outcome: str
    pricing: str
    estimated: bool
    suspect: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_nano_usd: int


class StatementOut(BaseModel):
    lines: list[StatementLineOut]

    @classmethod
    def of(cls, found: Iterable[StatementLine]) -> "StatementOut":
        return cls(lines=[StatementLineOut(**msgspec.structs.asdict(line)) for line in found])


class RepricingIn(BaseModel):
    """When the attempts began (epoch milliseconds; ``until_ms`` is exclusive), within one day of UTC."""

    model_config = ConfigDict(extra="forbid")

    from_ms: int = Field(ge=0, lt=MAX_MS)
    until_ms: int = Field(ge=1, lt=MAX_MS)
    apply: bool = False


class RepricedGroupOut(BaseModel):
    """``attempts`` of a key for a model that cost something else now."""

    key_id: str
    provider: str
    model: str
    attempts: int
    old_nano_usd: int
    new_nano_usd: int
    difference_usd: str


class RepricedOut(BaseModel):
    """``attempts`` were looked at. Left as they are: those without a price that is known today (``unknown``), those
    that were charged at their reservation as their router died (``aborted``), those that only a budget's ``assumed``
    price counts."""

    applied: bool
    groups: list[RepricedGroupOut]
    attempts: int
    unknown: int
    aborted: int
    assumed: int

    @classmethod
    def of(cls, found: Repriced, applied: bool) -> "RepricedOut":
        groups = [
            RepricedGroupOut(
                **msgspec.structs.asdict(group), difference_usd=usd(group.new_nano_usd - group.old_nano_usd)
            )
            for group in found.groups
        ]
        return cls(
            applied=applied,
            groups=groups,
            attempts=found.attempts,
            unknown=found.unknown,
            aborted=found.aborted,
            assumed=found.assumed,
        )
