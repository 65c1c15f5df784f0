"""Targets, how one is chosen among them, and how long it is waited for."""

from typing import Annotated, Self

from omni_catalogue.snapshot import STRATEGIES, STREAMING
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Seconds, Section
from omni_auth.domain.sections.rules import RulesSection

# Combos' word for it beside accounts'; either is taken for both.
STRATEGY_WORDS = ("priority", *STRATEGIES)


def _strategy_name(value: object) -> str:
    word = scalars.one_of(STRATEGY_WORDS)(value)
    return "fill-first" if word == "priority" else word


class StrategySection(Section):
    """In which order places are tried. ``sticky`` is how many requests in a row a turn of round-robin has."""

    name: Annotated[str, BeforeValidator(_strategy_name)]
    sticky: Annotated[int, BeforeValidator(scalars.whole(1, 10_000))] = 1

    @model_validator(mode="after")
    def _fits(self) -> "StrategySection":
        if self.sticky != 1 and self.name != "round-robin":
            message = f"takes sticky only where its name is round-robin, and this is {self.name}"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


def _strategy(value: object) -> object:
    """A word by itself is its name."""
    return {"name": _strategy_name(value)} if not isinstance(value, dict) else value


Strategy = Annotated[StrategySection | None, BeforeValidator(_strategy)]
Weight = Annotated[int, BeforeValidator(scalars.whole(0, 10_000))]
Tags = tuple[Name, ...]


class _TimedSection(Section):
    @model_validator(mode="after")
    def _fit(self) -> Self:
        first_byte, total = (getattr(self, name) for name in ("first_byte", "total"))
        if {"first_byte", "total"} <= self.model_fields_set and first_byte > total:
            message = f"first_byte is {first_byte:g} s, which is more than the {total:g} s of total"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class TimeoutsSection(_TimedSection):
    connect: Seconds = 10.0
    first_byte: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds = 600.0


class DeadlinesSection(_TimedSection):
    """Timeouts at one place; what is left out is for the wider place to say."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


def _after(value: object) -> float:
    """0 for ``p95``."""
    if value == "p95":
        return 0.0
    if scalars.number_or_none(value) is None:
        message = "must be p95, for the time in which 95 of 100 streams begin, or a number of seconds"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return scalars.seconds(value)


class HedgeSection(Section):
    """As ``omni_catalogue.snapshot.Hedge``; ``after`` is p95 or seconds."""

    after: Annotated[float, BeforeValidator(_after)] = 0.0
    least: Seconds = 0.2
    most_extra: Annotated[int, BeforeValidator(scalars.whole(0, 100, " (percent of the requests)"))] = 10

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.after and "least" in self.model_fields_set:
            message = f"least bounds p95, and after is {self.after:g} s whatever was measured; leave one of them out"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


Hedged = Annotated[
    HedgeSection | None,
    BeforeValidator(
        scalars.switched("a mapping such as {after: p95, least: 0.2, most_extra: 10}", off={"most_extra": "0"})
    ),
]
Streaming = Annotated[str, BeforeValidator(scalars.one_of(STREAMING))]


class MidStreamSection(Section):
    """As ``omni_catalogue.snapshot.MidStream``."""

    hold_tokens: Annotated[int, BeforeValidator(scalars.whole(1, 10_000))] | None = None
    hold_seconds: Seconds | None = None
    resume: Flag = False


class TargetSection(Section):
    """``model`` is provider/model, provider/* for all that the provider lists, or another combo. ``weight`` is its
    share where the combo's strategy is weighted; ``tags`` it has besides its provider's."""

    model: Annotated[str, BeforeValidator(scalars.model_pattern)]
    weight: Weight = 1
    tags: Tags = ()


def _target(value: object) -> object:
    """A text by itself is its model."""
    return {"model": scalars.text(value)} if not isinstance(value, dict) else value


class ComboSection(Section):
    """``free_only`` refuses a target that costs anything; of the targets only those with all of ``require_tags`` are
    used."""

    name: Name
    enabled: Flag = True
    strategy: Strategy = None
    targets: tuple[Annotated[TargetSection, BeforeValidator(_target)], ...] = Field(min_length=1)
    free_only: Flag = False
    require_tags: Tags = ()
    rules: RulesSection = RulesSection()
    mid_stream: MidStreamSection | None = None
    timeouts: DeadlinesSection = DeadlinesSection()
    hedge: Hedged = None


class AliasSection(Section):
    """``name`` stands for ``target``: a combo, provider/model, or an id that one provider lists. In a name "*" is any
    run of characters and "?" is one; "*" in the target is what the first "*" of the name stands for."""

    name: Annotated[str, BeforeValidator(scalars.model_pattern)]
    target: Annotated[str, BeforeValidator(scalars.model_pattern)]
