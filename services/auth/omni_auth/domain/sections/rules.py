"""What is done to requests and answers on their way."""

from typing import Annotated

from omni_catalogue.rules import KEEP_ALIVE_OFF
from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Section
from omni_auth.domain.sections.guards import GuardsSection

CACHED = ("asked", "deterministic", "any")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
DEFAULT_BUDGET = 10_240  # tokens of thought, where a custom budget is asked for without saying which


def _switch(value: object) -> str:
    if value == "auto":
        return "auto"
    switched = scalars.flag_or_none(value)
    if switched is None:
        raise PydanticCustomError("omniroute", "must be auto, on or off")
    return "on" if switched else "off"


def _thinking(value: object) -> object:
    if isinstance(value, str):
        if value not in ("passthrough", "auto", "adaptive", "custom"):
            message = "must be passthrough, auto, adaptive, custom or one of {budget: TOKENS} and {effort: WORD}"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return {"mode": value}
    return value


def _progress(value: object) -> str:
    if value == "asked":
        return "asked"
    switched = scalars.flag_or_none(value)
    if switched is None:
        raise PydanticCustomError("omniroute", "must be asked, on or off")
    return "on" if switched else "off"


def _keep_alive(value: object) -> float:
    return KEEP_ALIVE_OFF if scalars.flag_or_none(value) is False else scalars.seconds(value)


def _prompt(value: object) -> str:
    """Also an empty text, which takes back what a wider place injects."""
    if not isinstance(value, str):
        raise PydanticCustomError("omniroute", "must be a text")
    return value


def _cached(value: object) -> str:
    switched = scalars.flag_or_none(value)
    if switched is not None:
        return "deterministic" if switched else "off"
    return scalars.one_of((*CACHED, "on", "off"))(value)


Switch = Annotated[str, BeforeValidator(_switch)]
Prompt = Annotated[str, BeforeValidator(_prompt)]


class ThinkingSection(Section):
    """How much to have a model think. A budget in tokens or an effort makes it "custom"."""

    mode: Annotated[str, BeforeValidator(scalars.one_of(("passthrough", "auto", "adaptive", "custom")))] = "custom"
    budget: Annotated[int | None, BeforeValidator(scalars.whole(0, 1_000_000))] = None
    effort: Annotated[str | None, BeforeValidator(scalars.one_of(EFFORTS))] = None

    @model_validator(mode="after")
    def _one(self) -> "ThinkingSection":
        if self.budget is not None and self.effort is not None:
            raise PydanticCustomError("omniroute", "takes a budget or an effort, not both")
        if self.mode not in ("custom", "adaptive") and (self.budget is not None or self.effort is not None):
            raise PydanticCustomError("omniroute", "takes a budget or an effort only where the mode is custom")
        if self.mode == "custom" and self.budget is None and self.effort is None:
            return self.model_copy(update={"budget": DEFAULT_BUDGET})
        return self


class SystemPromptSection(Section):
    prefix: Prompt | None = None
    suffix: Prompt | None = None
    skippable: Flag | None = None


class RulesSection(Section):
    """The product's own rules at one place of the file; what is left out is for the wider place to say."""

    developer_to_system: Switch | None = None
    system_to_user: Switch | None = None
    sanitize: Flag | None = None
    think_tags: Switch | None = None
    thinking: Annotated[ThinkingSection | None, BeforeValidator(_thinking)] = None
    system_prompt: SystemPromptSection | None = None
    clamp: Switch | None = None
    stream_on_accept: Flag | None = None
    progress: Annotated[str | None, BeforeValidator(_progress)] = None
    keep_alive: Annotated[float | None, BeforeValidator(_keep_alive)] = None
    cache: Annotated[str | None, BeforeValidator(_cached)] = None
    semantic_cache: Annotated[str | None, BeforeValidator(_cached)] = None
    guards: GuardsSection | None = None
