"""What models cost, and from when on."""

from typing import Annotated, Self

from pydantic import BeforeValidator, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Name, Section, Tokens, Usd


class RatesSection(Section):
    """USD per million tokens in the file, and of ``request`` for each; nano-USD here."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    audio_input: Usd | None = None
    image_input: Usd | None = None
    audio_output: Usd | None = None
    image_output: Usd | None = None
    request: Usd | None = None


class AboveSection(RatesSection):
    """What all of a request costs whose input has more ``tokens`` than that."""

    tokens: Tokens


def _batch(value: object) -> object:
    return RatesSection.model_validate(value) if isinstance(value, dict) else scalars.millionths(value)


class PriceSection(RatesSection):
    """``batch`` is what an answer of a batch or of flex processing costs: a part of each rate, in millionths here, or
    rates of its own whatever its size."""

    above: tuple[AboveSection, ...] = ()
    batch: Annotated[int | RatesSection | None, PlainValidator(_batch)] = None

    @model_validator(mode="after")
    def _rise(self) -> Self:
        steps = [each.tokens for each in self.above]
        if steps != sorted(set(steps)):
            raise PydanticCustomError("omniroute", "above must go from fewer tokens to more, each number once")
        return self


class ChangeSection(PriceSection):
    """What it costs instead from ``since`` on."""

    since: Annotated[int, BeforeValidator(scalars.moment)]  # epoch seconds


class DatedSection(PriceSection):
    changes: tuple[ChangeSection, ...] = ()

    @model_validator(mode="after")
    def _follow(self) -> Self:
        dates = [each.since for each in self.changes]
        if dates != sorted(set(dates)):
            raise PydanticCustomError("omniroute", "changes must go from the first to the last, each date once")
        return self


class TermsSection(DatedSection):
    """For the keys of an ``organisation``, or at an ``account`` (provider/name), or for these there."""

    account: Annotated[str, BeforeValidator(scalars.account_id)] = ""
    organisation: Annotated[str, BeforeValidator(scalars.text)] = ""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.account and not self.organisation:
            raise PydanticCustomError("omniroute", "must be for an account or an organisation, or for both")
        return self


class TariffSection(DatedSection):
    """What everybody pays, and under ``overrides`` who pays something else."""

    overrides: tuple[TermsSection, ...] = ()

    @model_validator(mode="after")
    def _once(self) -> Self:
        whose = [(each.account, each.organisation) for each in self.overrides]
        if len(set(whose)) < len(whose):
            raise PydanticCustomError("omniroute", "overrides must name each account and organisation once")
        return self


class ModelPriceSection(TariffSection):
    """What a model costs at the provider it belongs to; everywhere without one."""

    model: Annotated[str, BeforeValidator(scalars.model_id)]


class PriceEntry(ModelPriceSection):
    """As it stands in the file, where nothing but its own word says which provider it belongs to."""

    provider: Name | None = None
