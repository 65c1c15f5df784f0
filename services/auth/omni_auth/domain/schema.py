"""The configuration file's sections, their defaults and what each key takes.

Input is the tree of ``document``: every scalar is the text that was written.
"""

from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, get_args

import msgspec
from omni_catalogue.quotas import MEASURES as QUOTA_MEASURES
from omni_catalogue.quotas import RESETS, SPANS, VENDORS, window_name
from omni_catalogue.rules import KEEP_ALIVE_OFF
from omni_catalogue.scopes import ENDPOINTS, MANAGEMENT
from omni_catalogue.snapshot import IDENTITIES, MODES, RESUMES, STRATEGIES, STREAMING, TIERS, UPSTREAM
from omni_catalogue.tags import MOST as MOST_TAGS
from omni_catalogue.windows import CALENDAR
from omni_wire.formats import WireFormat
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem, suggestion

ROLES = ("admin", "developer")
WINDOWS = ("day", "week", "month", "total")
# Combos' word for it beside accounts'; either is taken for both.
STRATEGY_WORDS = ("priority", *STRATEGIES)

SOURCES = ("env", "file", "value", "vault")

Flag = Annotated[bool, BeforeValidator(scalars.flag)]
Name = Annotated[str, BeforeValidator(scalars.name)]
Text = Annotated[str, BeforeValidator(scalars.text)]
Tag = Annotated[str, BeforeValidator(scalars.tag)]
Tokens = Annotated[int, BeforeValidator(scalars.whole(1, 1_000_000_000))]
Seconds = Annotated[float, BeforeValidator(scalars.seconds)]
Network = Annotated[str, BeforeValidator(scalars.network)]
Usd = Annotated[int, BeforeValidator(scalars.usd)]  # nano-USD


class SecretSource(msgspec.Struct, frozen=True):
    """Where a secret is: ``kind`` is "env", "file" or "value", ``where`` the variable, the path or the secret.
    ``kind`` "vault" says that it is sealed in the store, "none" that there is none to be had."""

    kind: str
    where: str

    def __repr__(self) -> str:
        return f"SecretSource({self.kind})"


def secret_source(value: object) -> SecretSource:
    """Read ``{env: NAME}``, ``{file: PATH}`` or ``{value: TEXT}``. What else is written there is never repeated."""
    if isinstance(value, dict) and len(value) == 1:
        kind, where = next(iter(value.items()))
        if kind in SOURCES and isinstance(where, str) and where:
            return SecretSource(kind, where)
    message = "must be exactly one of {env: NAME}, {file: PATH} and {value: TEXT}"
    raise PydanticCustomError("omniroute", "{message}", {"message": message})


def optional_source(value: object) -> SecretSource:
    """As ``secret_source``, or the word ``none``: said, not left out, so that a forgotten key is still told."""
    if value == "none":
        return SecretSource("none", "")
    try:
        return secret_source(value)
    except PydanticCustomError as error:
        message = f"{error.message()}, or none for a provider that asks for no key"
        raise PydanticCustomError("omniroute", "{message}", {"message": message}) from None


Secret = Annotated[SecretSource, PlainValidator(secret_source)]
OptionalSecret = Annotated[SecretSource, PlainValidator(optional_source)]


class Section(BaseModel):
    """A mapping with known keys. A key without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise PydanticCustomError("omniroute", "must be a mapping of keys to values")
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}


Part = TypeVar("Part", bound=Section)


class ServerSection(Section):
    host: Annotated[str, BeforeValidator(scalars.host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(scalars.whole(0, 65_535))] = 20128
    require_api_key: Flag = True
    max_body_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 1 << 30))] = 20 * 1024 * 1024
    trusted_proxies: tuple[Network, ...] = ()


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


class PriceSection(RatesSection):
    above: tuple[AboveSection, ...] = ()

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


SWITCH = ("auto", "on", "off")
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


_Count = Annotated[int | None, BeforeValidator(scalars.whole(1, 1_000_000_000, " (leave it out for any)"))]


class RateLimitSection(Section):
    """How fast a provider, an account, or each account for one model may be asked; what is left out is learned from its
    answers."""

    requests_per_minute: _Count = None
    tokens_per_minute: _Count = None
    min_gap: Seconds | None = None
    concurrent: _Count = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_gap is not None and self.requests_per_minute is not None:
            fit = 60 / self.min_gap
            if fit < self.requests_per_minute:
                message = (
                    f"a min_gap of {self.min_gap:g} s lets {fit:.3g} requests a minute through, fewer than the "
                    f"{self.requests_per_minute} of requests_per_minute; leave one of them out"
                )
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    def beyond(self, wider: "RateLimitSection") -> str:
        """What is never reached, because ``wider`` holds for this and more; "" for nothing."""
        for name in ("requests_per_minute", "tokens_per_minute", "concurrent"):
            mine, whole = getattr(self, name), getattr(wider, name)
            if mine is not None and whole is not None and mine > whole:
                return f"{name} is {mine}, more than the {whole} of its provider, which holds for all its accounts"
        return ""


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


def _quota(value: object) -> object:
    """``on`` is with what is known of it; a list is its windows."""
    if isinstance(value, list):
        return {"windows": value}
    if isinstance(value, dict):
        return value
    switched = scalars.flag_or_none(value)
    if switched is None:
        message = "must be on, off, a list of windows or a mapping such as {ask: claude-code, cutoff: 2}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return {"enabled": "on" if switched else "off"}


Percent = Annotated[float, BeforeValidator(scalars.percent)]


class QuotaWindowSection(Section):
    """What a provider gives an account in a time; as ``omni_catalogue.quotas.QuotaWindow``. ``at`` is the time of day
    at which one begins."""

    window: Annotated[str, BeforeValidator(scalars.one_of(tuple(SPANS)))]
    of: Annotated[str, BeforeValidator(scalars.one_of(QUOTA_MEASURES))] = "requests"
    most: Annotated[str | None, BeforeValidator(scalars.amount)] = None
    resets: Annotated[str | None, BeforeValidator(scalars.one_of(RESETS))] = None
    at: Annotated[str | None, BeforeValidator(scalars.time_of_day)] = None
    time_zone: Annotated[str | None, BeforeValidator(scalars.time_zone)] = None
    anchor: Annotated[str | None, BeforeValidator(scalars.anchor)] = None
    models: tuple[Annotated[str, BeforeValidator(scalars.pattern)], ...] = ()
    name: Annotated[str | None, BeforeValidator(scalars.window_name)] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        message = ""
        if self.most is not None and self.of == "percent":
            message = "most: a window of percent has a hundred; leave it out"
        elif self.begins == "rolling" and self.window != "5h":
            message = "resets: only a window of 5h can go along with the time; say calendar or first-use"
        elif self.begins == "calendar" and self.window == "5h":
            message = "resets: a window of 5h is none of the calendar; say first-use or rolling"
        elif self.window == "once" and self.resets:
            message = "resets: what there is once does not begin anew; leave it out"
        elif (self.begins != "calendar" or self.window == "once") and (self.at or self.anchor or self.time_zone):
            message = "at, anchor and time_zone are for a window of the calendar (day, week, month)"
        elif self.at and (self.anchor or self.window != "day"):
            message = "at: is for a window of a day without an anchor; anchor takes a date and a time"
        if message:
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        _ = self.amount
        return self

    @property
    def begins(self) -> str:
        return self.resets or ("first-use" if self.window == "5h" else "calendar")

    @property
    def amount(self) -> int:
        """0 where it is not known. Raises ``PydanticCustomError``."""
        if self.most is None:
            return 0
        return scalars.some_usd(self.most) if self.of == "usd" else scalars.whole(1, MOST_COUNTED)(self.most)


class QuotaSection(Section):
    """As ``omni_catalogue.quotas.Quota``; of an account's and its provider's, each word of the account's stands."""

    enabled: Flag = True
    windows: tuple[QuotaWindowSection, ...] = Field(default=(), max_length=16)
    ask: Annotated[str, BeforeValidator(scalars.one_of(tuple(VENDORS)))] = ""
    url: Annotated[str, BeforeValidator(scalars.base_url)] = ""
    workspace: Annotated[str, BeforeValidator(scalars.machine_id)] = ""
    every: Annotated[float, BeforeValidator(scalars.lasting(86_400))] = 300.0
    cutoff: Percent = 2.0
    warn: Percent = 20.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [each.name or window_name(each.window, *each.models) for each in self.windows]
        if len(set(names)) < len(names):
            message = "windows: two of them would have one name; give each a name of its own, or say which models"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        if self.cutoff > self.warn:
            message = f"cutoff is {self.cutoff:g} percent, more than the {self.warn:g} of warn, which comes first"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        if self.every < 10:
            message = "every: must be 10s at least, as providers count such questions too"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


Quotas = Annotated[QuotaSection | None, BeforeValidator(_quota)]


class ModelSection(Section):
    id: Annotated[str, BeforeValidator(scalars.model_id)]
    price: TariffSection | None = None
    context: Tokens | None = None
    max_output: Tokens | None = None
    reasons: Flag | None = None
    streaming: Streaming | None = None
    rate_limit: RateLimitSection = RateLimitSection()


_IDENTITIES = sorted({name for names in IDENTITIES.values() for name in names})


class AccountSection(Section):
    name: Name
    enabled: Flag = True
    api_key: OptionalSecret
    project: Annotated[str, BeforeValidator(scalars.project)] = ""
    profile_arn: Annotated[str, BeforeValidator(scalars.profile_arn)] = ""
    identity: Annotated[str, BeforeValidator(scalars.one_of(_IDENTITIES))] = ""
    client_version: Annotated[str, BeforeValidator(scalars.version)] = ""
    machine_id: Annotated[str, BeforeValidator(scalars.machine_id)] = ""
    weight: Weight = 1
    rate_limit: RateLimitSection = RateLimitSection()
    quota: Quotas = None


class ProviderDocument(Section):
    """A provider without its accounts, which have lives of their own in the store. ``aka`` are further names that it
    may be asked for by, in the place of its id."""

    id: Name
    aka: tuple[Name, ...] = ()
    enabled: Flag = True
    format: Annotated[WireFormat, BeforeValidator(scalars.one_of([item.value for item in WireFormat]))]
    base_url: Annotated[str, BeforeValidator(scalars.base_url)]
    tier: Annotated[str, BeforeValidator(scalars.one_of(TIERS))] = "api_key"
    allow_private_address: Flag = False
    models: tuple[ModelSection, ...] = Field(default=(ModelSection(id="*"),), min_length=1)
    streaming: Streaming = "both"
    rules: RulesSection = RulesSection()
    strategy: Strategy = None
    tags: Tags = ()
    resumes: Annotated[str, BeforeValidator(scalars.one_of(RESUMES))] = "prompt"
    timeouts: DeadlinesSection = DeadlinesSection()
    hedge: Hedged = None
    rate_limit: RateLimitSection = RateLimitSection()
    quota: Quotas = None

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        for model in self.models:
            if why := model.rate_limit.beyond(self.rate_limit):
                message = f"the model {model.id}: rate_limit: {why}"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class ProviderSection(ProviderDocument):
    accounts: tuple[AccountSection, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for account in self.accounts:
            if why := account.rate_limit.beyond(self.rate_limit):
                _refuse_account(account, "rate_limit:", why)
            if account.project and self.format is not WireFormat.CLOUDCODE_GENERATE:
                _refuse_account(account, "project", "is for providers of cloudcode.generate")
            if account.profile_arn and self.format is not WireFormat.KIRO_CONVERSATION:
                _refuse_account(account, "profile_arn", "is for providers of kiro.conversation")
            if account.identity and account.identity not in IDENTITIES.get(self.format, ()):
                _refuse_account(account, "identity", f"is not one of {self.format.value}")
            for key in ("client_version", "machine_id"):  # neither is made up here: one ages, the other is a machine's
                if bool(getattr(account, key)) is not (account.identity == "cursor"):
                    _refuse_account(account, key, "goes with identity: cursor, which needs both")
        return self


def _refuse_account(account: AccountSection, key: str, why: str) -> NoReturn:
    message = f"the account {account.name}: {key} {why}"
    raise PydanticCustomError("omniroute", "{message}", {"message": message})


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


class ModelPriceSection(TariffSection):
    """What a model costs at the provider it belongs to; everywhere without one."""

    model: Annotated[str, BeforeValidator(scalars.model_id)]


class PriceEntry(ModelPriceSection):
    """As it stands in the file, where nothing but its own word says which provider it belongs to."""

    provider: Name | None = None


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
    when_away: Annotated[str, BeforeValidator(scalars.one_of(("closed", "open")))] = "closed"

    @model_validator(mode="after")
    def _calendar(self) -> Self:
        windows = [each.window for each in (self.budget, self.requests, self.tokens) if each is not None]
        for word in ("time_zone", "anchor"):
            if getattr(self, word) is not None and not any(window in CALENDAR for window in windows):
                message = f"{word}: is for a window of the calendar (day, week, month), and none of this limit's is one"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _mode(self) -> Self:
        if "warn" in self.model_fields_set and self.mode == "shadow":
            message = "warn: goes with mode: soft or hard; shadow only counts"
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
    """``team`` and ``user`` are whose it is, ``tags`` what its requests carry: the limits of these apply to it."""

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
    rules: RulesSection = RulesSection()


WholeSeconds = Annotated[int, BeforeValidator(scalars.whole(1, 86_400))]


class BreakerSection(Section):
    """As ``omni_catalogue.snapshot.BreakerPolicy``."""

    failures: Annotated[int, BeforeValidator(scalars.whole(1, 10_000))] = 5
    window: WholeSeconds = 60
    open_for: WholeSeconds = 30
    limited_for: WholeSeconds = 1
    limited_longest: WholeSeconds = 120
    refused_for: WholeSeconds = 120
    refused_longest: WholeSeconds = 1800
    told_longest: Annotated[int, BeforeValidator(scalars.whole(1, 604_800))] = 86_400

    @model_validator(mode="after")
    def _fits(self) -> "BreakerSection":
        for first, longest in (("limited_for", "limited_longest"), ("refused_for", "refused_longest")):
            if getattr(self, first) > getattr(self, longest):
                message = f"{first} is more than {longest}, which is the most that it grows to; raise {longest}"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


def _retries(value: object) -> object:
    return "0" if scalars.flag_or_none(value) is False else value


def _cache(value: object) -> object:
    if isinstance(value, dict):
        return value or {"exact": {}}
    switched = scalars.flag_or_none(value)
    if switched is None:
        message = "must be on, off or a mapping such as {exact: {requests: deterministic, ttl: 1h}}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return {"exact": {}} if switched else None


class ExactCacheSection(Section):
    """``requests`` are those that are answered from it: only those that are "asked" for with ``x-omniroute-cache: on``,
    those that are "deterministic" (with a temperature of 0) too, or "any"."""

    requests: Annotated[str, BeforeValidator(scalars.one_of(CACHED))] = "deterministic"
    ttl: Annotated[float, BeforeValidator(scalars.lasting(30 * 86_400))] = 3_600.0
    max_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 64 << 20))] = 1 << 20


def _semantic(value: object) -> object:
    if isinstance(value, dict):
        return value
    if scalars.flag_or_none(value) is not False:
        message = "must be off or a mapping such as {embeddings: PROVIDER/MODEL, requests: asked, threshold: 0.95}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return None


class SemanticCacheSection(Section):
    """``requests`` are, of those that ``exact`` answers, the ones that the answer to other words of the same meaning
    will do for: "asked" for with ``x-omniroute-cache: semantic``, "deterministic", "any" or "off". ``embeddings`` is
    the provider/model whose vectors tell a meaning, or "local"."""

    embeddings: Annotated[str, BeforeValidator(scalars.text)]
    requests: Annotated[str, BeforeValidator(scalars.one_of((*CACHED, "off")))] = "asked"
    threshold: Annotated[float, BeforeValidator(scalars.share)] = 0.95
    ttl: Annotated[float | None, BeforeValidator(scalars.lasting(30 * 86_400))] = None
    max_entries: Annotated[int, BeforeValidator(scalars.whole(1, 1_024))] = 256
    timeout: Annotated[float, BeforeValidator(scalars.lasting(60))] = 2.0


class CacheSection(Section):
    """``exact`` answers the very same request of the same key, ``semantic`` one in other words."""

    exact: ExactCacheSection = ExactCacheSection()
    semantic: Annotated[SemanticCacheSection | None, BeforeValidator(_semantic)] = None

    @model_validator(mode="after")
    def _fits(self) -> "CacheSection":
        exact, semantic = self.exact, self.semantic
        if semantic is None:
            return self
        if semantic.ttl is not None and semantic.ttl > exact.ttl:
            told = (
                f"semantic.ttl is more than exact.ttl, after which an answer is gone: {exact.ttl:g} s; raise exact.ttl"
            )
            raise PydanticCustomError("omniroute", "{message}", {"message": told})
        if semantic.requests in CACHED and CACHED.index(semantic.requests) > CACHED.index(exact.requests):
            told = (
                f"semantic.requests is {semantic.requests} and exact.requests only {exact.requests}, which it is of; "
                f"say exact: {{requests: {semantic.requests}}}"
            )
            raise PydanticCustomError("omniroute", "{message}", {"message": told})
        return self


def _dedup(value: object) -> float:
    return 0.0 if scalars.flag_or_none(value) is False else scalars.lasting(3_600)(value)


class IdempotencySection(Section):
    """A request asked again under the same ``Idempotency-Key`` is told the first answer, for ``window`` from its end.
    ``fail`` is what becomes of one while nothing can be recorded; ``dedup`` finds the same request without a key."""

    window: Annotated[float, BeforeValidator(scalars.lasting(30 * 86_400))] = 86_400.0
    max_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 64 << 20))] = 4 << 20
    fail: Annotated[str, BeforeValidator(scalars.one_of(("refuse", "open")))] = "refuse"
    request_id: Flag = False
    dedup: Annotated[float, BeforeValidator(_dedup)] = 0.0


class QueueSection(Section):
    """As ``omni_catalogue.snapshot.Queue``."""

    longest: Seconds = 10.0
    patience: Annotated[float, BeforeValidator(scalars.seconds_or_none)] = 0.5
    most: Annotated[int, BeforeValidator(scalars.whole(1, 100_000))] = 1000

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patience > self.longest:
            message = f"patience is {self.patience:g} s, more than the {self.longest:g} s of longest, which ends it"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class RetryBudgetSection(Section):
    """As ``omni_catalogue.snapshot.RetryBudget``."""

    percent: Annotated[int, BeforeValidator(scalars.whole(0, 100))] = 20
    least: Annotated[int, BeforeValidator(scalars.whole(0, 1_000_000))] = 10


class RoutingSection(Section):
    """``strategy`` is for combos and for accounts of providers that have none of their own; ``auto`` is whether there
    are combos that stand for all providers, by tier."""

    strategy: Strategy = None
    auto: Flag = True
    retries: Annotated[int, BeforeValidator(scalars.whole(0, 10)), BeforeValidator(_retries)] = 0
    breaker: Annotated[
        BreakerSection | None,
        BeforeValidator(scalars.switched("a mapping such as {failures: 5, window: 60, open_for: 30}")),
    ] = BreakerSection()
    cache: Annotated[CacheSection | None, BeforeValidator(_cache)] = CacheSection(
        exact=ExactCacheSection(requests="asked")
    )
    default_max_output: Tokens = 32_000
    timeouts: TimeoutsSection = TimeoutsSection()
    mid_stream: MidStreamSection = MidStreamSection()
    hedge: Hedged = None
    idempotency: Annotated[
        IdempotencySection | None,
        BeforeValidator(scalars.switched("a mapping of window, max_bytes, fail, request_id and dedup")),
    ] = IdempotencySection()
    blocked_providers: tuple[Name, ...] = ()
    queue: Annotated[
        QueueSection | None, BeforeValidator(scalars.switched("a mapping such as {longest: 10, patience: 0.5}"))
    ] = QueueSection()
    retry_budget: Annotated[
        RetryBudgetSection | None, BeforeValidator(scalars.switched("a mapping such as {percent: 20, least: 10}"))
    ] = RetryBudgetSection()
    learn_rate_limits: Flag = True


class Config(Section):
    server: ServerSection = ServerSection()
    providers: tuple[ProviderSection, ...] = ()
    combos: tuple[ComboSection, ...] = ()
    aliases: tuple[AliasSection, ...] = ()
    prices: tuple[PriceEntry, ...] = ()
    keys: tuple[KeySection, ...] = ()
    limits: tuple[LimitEntry, ...] = ()
    routing: RoutingSection = RoutingSection()
    rules: RulesSection = RulesSection()


def validate(tree: Tree) -> tuple[Config | None, list[Problem]]:
    """The configuration a tree describes, or everything that is wrong with it."""
    return validate_section(Config, tree)


def validate_section(root: type[Part], tree: Tree) -> tuple[Part | None, list[Problem]]:
    """As ``validate``, for a tree that is one section by itself; places count from there."""
    try:
        return root.model_validate(tree), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    found = [detail["loc"] for detail in details]
    return None, [
        Problem(detail["loc"], _words(detail["type"], detail["loc"], detail["msg"], root))
        for detail in details
        # A list does not count its bad items and then looks too short; each of those is told already.
        if detail["type"] != "too_short" or not any(_inside(loc, detail["loc"]) for loc in found)
    ]


def _inside(loc: Loc, outer: Loc) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _words(kind: str, loc: Loc, message: str, root: type[Section]) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        known = known_keys(loc[:-1], root)
        return f"unknown key{suggestion(str(loc[-1]), known)} (known: {', '.join(known)})"
    if kind == "tuple_type":
        return "must be a list"
    if kind == "too_short":
        return "must have at least one item"
    return message


def known_keys(loc: Loc, root: type[Section] = Config) -> tuple[str, ...]:
    """The keys that the section at ``loc`` of ``root`` takes."""
    section = root
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = _inner(section.model_fields[part].annotation) or section
    return tuple(section.model_fields)


def _inner(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if found), None)
