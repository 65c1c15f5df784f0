"""What may be used: limits, budgets, and keys, which have their own."""

from typing import Annotated, Literal, Self

from omni_catalogue.roles import KEY_ROLES
from omni_catalogue.scopes import ENDPOINTS, MANAGEMENT
from omni_catalogue.snapshot import MODES, TIERS, UPSTREAM
from omni_catalogue.tags import MOST as MOST_TAGS
from omni_catalogue.windows import CALENDAR
from pydantic import BeforeValidator, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Network, Secret, Section, Tag, Text
from omni_auth.domain.sections.prices import PriceSection
from omni_auth.domain.sections.rules import RulesSection

ROLES = KEY_ROLES
WINDOWS = ("day", "week", "month", "total")
ROLLING = ("minute", "5h")
# What a limit may be of beside what the store knows by a reference.
LIMITED = ("tag", *UPSTREAM)


class LimitsSection(Section):
    requests_per_minute: Annotated[
        int | None, BeforeValidator(scalars.whole(1, 1_000_000_000, " (leave it out for no limit)"))
    ] = None


def _unpriced(value: object) -> object:
    if isinstance(value, dict):
        return PriceSection.model_validate(value)
    if value not in ("refuse", "serve"):
        message = "must be refuse, serve or an assumed price such as {input: 1, output: 5}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return value


Unpriced = Annotated[Literal["refuse", "serve"] | PriceSection, PlainValidator(_unpriced)]
# Exact in the doubles of Redis' Lua.
MOST_COUNTED = 1_000_000_000_000
Counted = Annotated[int | None, BeforeValidator(scalars.whole(1, MOST_COUNTED, " (leave it out for no limit)"))]
WhenAway = Annotated[str, BeforeValidator(scalars.one_of(("closed", "open")))]
AtOnce = Annotated[int | None, BeforeValidator(scalars.whole(1, 1_000_000, " (leave it out for no limit)"))]


class BudgetSection(Section):
    usd: Annotated[int, BeforeValidator(scalars.some_usd)]
    window: Annotated[str, BeforeValidator(scalars.one_of(WINDOWS))] = "month"
    unpriced: Unpriced = "refuse"
    unaffordable: Annotated[str, BeforeValidator(scalars.one_of(("clamp", "refuse")))] = "clamp"


class SharedBudgetSection(BudgetSection):
    window: Annotated[str, BeforeValidator(scalars.one_of((*ROLLING, *WINDOWS)))] = "month"

    @model_validator(mode="after")
    def _rolls(self) -> Self:
        if self.window in ROLLING and self.unaffordable != "clamp":
            message = "unaffordable: refuse goes with a window of the calendar; in one that rolls, answers are clamped"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class RequestsSection(Section):
    """Of a minute there is ``requests_per_minute``, which is to the tenth of a second."""

    count: Annotated[int, BeforeValidator(scalars.whole(1, MOST_COUNTED))]
    window: Annotated[str, BeforeValidator(scalars.one_of(("5h", *WINDOWS)))] = "day"


class TokensSection(Section):
    """Tokens of input, of output, and both together, in one window."""

    total: Counted = None
    input: Counted = None
    output: Counted = None
    window: Annotated[str, BeforeValidator(scalars.one_of((*ROLLING, *WINDOWS)))] = "day"

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.total is None and self.input is None and self.output is None:
            raise PydanticCustomError("omniroute", "limits nothing: give total, input or output, a number of tokens")
        for part in ("input", "output"):
            if self.total is not None and (getattr(self, part) or 0) > self.total:
                message = f"{part}: is more than total lets through; leave it out, or give less"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class LimitSection(LimitsSection):
    """What the keys of a team or a user, one key, requests of a tag, or all keys of an organisation may use together;
    or what all may use of a provider, an account, a model or a tier."""

    name: Name
    tag: Tag | None = None
    provider: Name | None = None
    account: Annotated[str | None, BeforeValidator(scalars.within_provider("account", "acme/main"))] = None
    model: Annotated[str | None, BeforeValidator(scalars.within_provider("model", "acme/gpt-x"))] = None
    tier: Annotated[str | None, BeforeValidator(scalars.one_of(TIERS))] = None
    budget: SharedBudgetSection | None = None
    requests: RequestsSection | None = None
    tokens: TokensSection | None = None
    concurrent: AtOnce = None
    mode: Annotated[str, BeforeValidator(scalars.one_of(MODES))] = "hard"
    warn: tuple[Annotated[int, BeforeValidator(scalars.whole(1, 1000))], ...] = Field(
        default=(80, 90, 100), max_length=8
    )

    time_zone: Annotated[str | None, BeforeValidator(scalars.time_zone)] = None
    anchor: Annotated[str | None, BeforeValidator(scalars.anchor)] = None
    when_away: WhenAway = "closed"

    @model_validator(mode="after")
    def _calendar(self) -> Self:
        windows = [each.window for each in (self.budget, self.requests, self.tokens) if each is not None]
        for word in ("time_zone", "anchor"):
            if getattr(self, word) is not None and not any(window in CALENDAR for window in windows):
                message = f"{word}: is for a window of the calendar (day, week, month), and none of this limit's is one"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    @property
    def _has_windows(self) -> bool:
        return any(each is not None for each in (self.budget, self.requests, self.tokens, self.requests_per_minute))

    @model_validator(mode="after")
    def _mode(self) -> Self:
        if "warn" in self.model_fields_set and self.mode == "shadow":
            message = "warn: goes with mode: soft or hard; shadow only counts"
        elif "warn" in self.model_fields_set and not self._has_windows:
            message = "warn: goes with what is counted in a window; concurrent has none"
        elif self.mode == "soft" and self.concurrent is not None:
            message = "concurrent: has no window to warn of; mode: shadow counts it"
        elif self.mode != "hard" and self.budget is not None and self.budget.unpriced != "refuse":
            message = "budget.unpriced: goes with mode: hard; what refuses nothing serves what has no price"
        elif self.mode != "hard" and self.budget is not None and self.budget.unaffordable != "clamp":
            message = "budget.unaffordable: goes with mode: hard; what refuses nothing lets all through whole"
        elif self.mode != "hard" and "when_away" in self.model_fields_set:
            message = "when_away: goes with mode: hard; what refuses nothing keeps nobody out while Redis is away"
        elif self.when_away == "open" and self.concurrent is not None:
            message = "when_away: open: goes without concurrent; attempts at once are counted in Redis alone"
        else:
            return self
        raise PydanticCustomError("omniroute", "{message}", {"message": message})

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, word, None) is not None for word in ("team", "user", "key", *LIMITED)) > 1:
            message = (
                "is for one team, user, key, tag, provider, account, model or tier, not for several: make one for each"
            )
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _some(self) -> Self:
        each = self.requests_per_minute, self.budget, self.requests, self.tokens, self.concurrent
        if all(one is None for one in each):
            what = "requests_per_minute, requests, tokens, concurrent, a budget, or several of them"
            raise PydanticCustomError("omniroute", "limits nothing: give {what}", {"what": what})
        if self.requests is not None and (self.requests_per_minute or 0) > self.requests.count:
            message = "requests_per_minute: is more than requests lets through in its whole window; leave it out"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class LimitEntry(LimitSection):
    """As it stands in the file, where nothing but its own words say whose keys it is for: all without one."""

    team: Name | None = None
    user: Text | None = None
    key: Name | None = None


class KeySection(Section):
    """``team`` and ``user`` are whose it is, ``tags`` what its requests carry: the limits of these apply to it.
    With ``no_bodies`` nothing of what they say is ever kept, whatever ``bodies`` says."""

    name: Name
    secret: Secret
    team: Name | None = None
    user: Text | None = None
    role: Annotated[str, BeforeValidator(scalars.one_of(ROLES))] = "developer"
    models: tuple[Annotated[str, BeforeValidator(scalars.pattern)], ...] = Field(default=("*",), min_length=1)
    providers: tuple[Annotated[str, BeforeValidator(scalars.provider_pattern)], ...] = Field(default=(), min_length=1)
    endpoints: tuple[Annotated[str, BeforeValidator(scalars.one_of(ENDPOINTS))], ...] = Field(default=(), min_length=1)
    ips: tuple[Network, ...] = Field(default=(), min_length=1)
    management: tuple[Annotated[str, BeforeValidator(scalars.one_of(MANAGEMENT))], ...] = Field(
        default=(), min_length=1
    )
    expires: Annotated[int | None, BeforeValidator(scalars.moment)] = None
    tags: tuple[Tag, ...] = Field(default=(), max_length=MOST_TAGS)
    limits: LimitsSection = LimitsSection()
    budget: BudgetSection | None = None
    when_away: WhenAway = "closed"
    rules: RulesSection = RulesSection()
    no_bodies: Flag = False

    @model_validator(mode="after")
    def _away(self) -> Self:
        has_own = self.budget is not None or self.limits.requests_per_minute is not None
        if "when_away" in self.model_fields_set and not has_own:
            message = "when_away: goes with limits or a budget of the key's own; those that it shares say it themselves"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self
