"""Providers, their models, their accounts, what these let through."""

from typing import Annotated, NoReturn, Self

from omni_catalogue.logins import LOGINS, NAMES
from omni_catalogue.quotas import MEASURES as QUOTA_MEASURES
from omni_catalogue.quotas import RESETS, SPANS, VENDORS, window_name
from omni_catalogue.snapshot import IDENTITIES, RESUMES, TIERS
from omni_wire.formats import WireFormat
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import AccountSecret, Flag, Name, Seconds, Section, Text, Tokens
from omni_auth.domain.sections.combos import DeadlinesSection, Hedged, Strategy, Streaming, Tags, Weight
from omni_auth.domain.sections.limits import MOST_COUNTED
from omni_auth.domain.sections.outbound import PemFile, ProxyName
from omni_auth.domain.sections.prices import TariffSection
from omni_auth.domain.sections.rules import RulesSection

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
    login: Annotated[str, BeforeValidator(scalars.login)] = ""
    # Looked at without being given, too: it is required unless the account is logged in to.
    api_key: AccountSecret = Field(default=None, validate_default=True)
    accept_terms: Text = ""
    project: Annotated[str, BeforeValidator(scalars.project)] = ""
    profile_arn: Annotated[str, BeforeValidator(scalars.profile_arn)] = ""
    identity: Annotated[str, BeforeValidator(scalars.one_of(_IDENTITIES))] = ""
    client_version: Annotated[str, BeforeValidator(scalars.version)] = ""
    machine_id: Annotated[str, BeforeValidator(scalars.machine_id)] = ""
    weight: Weight = 1
    rate_limit: RateLimitSection = RateLimitSection()
    quota: Quotas = None
    proxy: ProxyName = ""

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        message = ""
        kind = self.login.partition("/")[0]
        if self.login and "api_key" in self.model_fields_set:
            message = "login: stands in the place of api_key; leave one of them out"
        elif self.login and (risk := LOGINS[kind].risk):
            if NAMES.get(self.accept_terms) != kind:
                message = f"login: {risk} Whoever takes that risk says so: accept_terms: {kind}"
        elif self.accept_terms:
            message = "accept_terms: goes with a login whose provider minds its use here"
        if message:
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


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
    proxy: ProxyName = ""
    ca_file: PemFile = ""
    client_certificate: PemFile = ""
    client_key: PemFile = ""

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        for model in self.models:
            if why := model.rate_limit.beyond(self.rate_limit):
                message = f"the model {model.id}: rate_limit: {why}"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _certificate_fits(self) -> Self:
        if bool(self.client_certificate) is not bool(self.client_key):
            message = "client_certificate and client_key belong together: give both or neither"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class ProviderSection(ProviderDocument):
    accounts: tuple[AccountSection, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for account in self.accounts:
            if why := account.rate_limit.beyond(self.rate_limit):
                _refuse_account(account, "rate_limit:", why)
            if why := _merged(self.quota, account.quota):
                _refuse_account(account, "quota:", why)
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


def _merged(wider: QuotaSection | None, own: QuotaSection | None) -> str:
    """What does not go together of a provider's words and its account's; "" for nothing."""
    if wider is None or own is None:
        return ""
    cutoff = (own if "cutoff" in own.model_fields_set else wider).cutoff
    warn = (own if "warn" in own.model_fields_set else wider).warn
    return f"cutoff is {cutoff:g} percent, more than the {warn:g} of warn, which comes first" if cutoff > warn else ""


def _refuse_account(account: AccountSection, key: str, why: str) -> NoReturn:
    message = f"the account {account.name}: {key} {why}"
    raise PydanticCustomError("omniroute", "{message}", {"message": message})
