"""The configuration file's sections, their defaults and what each key takes.

Input is the tree of ``document``: every scalar is the text that was written.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec
from omni_catalogue.snapshot import TIERS
from omni_wire.formats import WireFormat
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem, suggestion

ROLES = ("admin", "developer")
WINDOWS = ("day", "week", "month", "total")
STRATEGIES = {"fill-first": "fill-first", "priority": "fill-first"}

_SOURCES = ("env", "file", "value")

Flag = Annotated[bool, BeforeValidator(scalars.flag)]
Name = Annotated[str, BeforeValidator(scalars.name)]
Tokens = Annotated[int, BeforeValidator(scalars.whole(1, 1_000_000_000))]
Seconds = Annotated[float, BeforeValidator(scalars.seconds)]
Usd = Annotated[int, BeforeValidator(scalars.usd)]  # nano-USD


class SecretSource(msgspec.Struct, frozen=True):
    """Where a secret is: ``kind`` is "env", "file" or "value", ``where`` the variable, the path or the secret.
    ``kind`` "none" says that there is none to be had."""

    kind: str
    where: str

    def __repr__(self) -> str:
        return f"SecretSource({self.kind})"


def secret_source(value: object) -> SecretSource:
    """Read ``{env: NAME}``, ``{file: PATH}`` or ``{value: TEXT}``. What else is written there is never repeated."""
    if isinstance(value, dict) and len(value) == 1:
        kind, where = next(iter(value.items()))
        if kind in _SOURCES and isinstance(where, str) and where:
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


class ServerSection(Section):
    host: Annotated[str, BeforeValidator(scalars.host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(scalars.whole(0, 65_535))] = 20128
    require_api_key: Flag = True
    max_body_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 1 << 30))] = 20 * 1024 * 1024


class PriceSection(Section):
    """USD per million tokens in the file, nano-USD here."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None


class ModelSection(Section):
    id: Annotated[str, BeforeValidator(scalars.model_id)]
    price: PriceSection | None = None
    context: Tokens | None = None
    max_output: Tokens | None = None


class AccountSection(Section):
    name: Name
    api_key: OptionalSecret


class ProviderSection(Section):
    id: Name
    format: Annotated[WireFormat, BeforeValidator(scalars.one_of([item.value for item in WireFormat]))]
    base_url: Annotated[str, BeforeValidator(scalars.base_url)]
    tier: Annotated[str, BeforeValidator(scalars.one_of(TIERS))] = "api_key"
    allow_private_address: Flag = False
    accounts: tuple[AccountSection, ...] = Field(min_length=1)
    models: tuple[ModelSection, ...] = Field(default=(ModelSection(id="*"),), min_length=1)


def _strategy(value: object) -> str:
    if not isinstance(value, str) or value not in STRATEGIES:
        message = "must be fill-first (also called priority), the only strategy there is yet"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return STRATEGIES[value]


class ComboSection(Section):
    name: Name
    strategy: Annotated[str, BeforeValidator(_strategy)] = "fill-first"
    targets: tuple[Annotated[str, BeforeValidator(scalars.text)], ...] = Field(min_length=1)


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


class BudgetSection(Section):
    usd: Annotated[int, BeforeValidator(scalars.some_usd)]
    window: Annotated[str, BeforeValidator(scalars.one_of(WINDOWS))] = "month"
    unpriced: Unpriced = "refuse"


class KeySection(Section):
    name: Name
    secret: Secret
    role: Annotated[str, BeforeValidator(scalars.one_of(ROLES))] = "developer"
    models: tuple[Annotated[str, BeforeValidator(scalars.pattern)], ...] = Field(default=("*",), min_length=1)
    limits: LimitsSection = LimitsSection()
    budget: BudgetSection | None = None


class BreakerSection(Section):
    """``failures`` within ``window`` seconds open it for ``open_for`` seconds."""

    failures: Annotated[int, BeforeValidator(scalars.whole(1, 10_000))] = 5
    window: Annotated[int, BeforeValidator(scalars.whole(1, 86_400))] = 60
    open_for: Annotated[int, BeforeValidator(scalars.whole(1, 86_400))] = 30


class TimeoutsSection(Section):
    connect: Seconds = 10.0
    first_byte: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds = 600.0


def _breaker(value: object) -> object:
    if isinstance(value, dict):
        return value
    switched = scalars.flag_or_none(value)
    if switched is None:
        message = "must be on, off or a mapping of failures, window and open_for"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return {} if switched else None


def _retries(value: object) -> object:
    return "0" if scalars.flag_or_none(value) is False else value


def _cache(value: object) -> object:
    if value == {}:
        return "on"
    if scalars.flag_or_none(value) is None:
        raise PydanticCustomError("omniroute", "must be on or off; there is nothing to tune yet")
    return value


class RoutingSection(Section):
    retries: Annotated[int, BeforeValidator(scalars.whole(0, 10)), BeforeValidator(_retries)] = 0
    breaker: Annotated[BreakerSection | None, BeforeValidator(_breaker)] = BreakerSection()
    cache: Annotated[Flag, BeforeValidator(_cache)] = False
    default_max_output: Tokens = 32_000
    timeouts: TimeoutsSection = TimeoutsSection()


class Config(Section):
    server: ServerSection = ServerSection()
    providers: tuple[ProviderSection, ...] = ()
    combos: tuple[ComboSection, ...] = ()
    keys: tuple[KeySection, ...] = ()
    routing: RoutingSection = RoutingSection()


def validate(tree: Tree) -> tuple[Config | None, list[Problem]]:
    """The configuration a tree describes, or everything that is wrong with it."""
    try:
        return Config.model_validate(tree), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    found = [detail["loc"] for detail in details]
    return None, [
        Problem(detail["loc"], _words(detail["type"], detail["loc"], detail["msg"]))
        for detail in details
        # A list does not count its bad items and then looks too short; each of those is told already.
        if detail["type"] != "too_short" or not any(_inside(loc, detail["loc"]) for loc in found)
    ]


def _inside(loc: Loc, outer: Loc) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _words(kind: str, loc: Loc, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        known = known_keys(loc[:-1])
        return f"unknown key{suggestion(str(loc[-1]), known)} (known: {', '.join(known)})"
    if kind == "tuple_type":
        return "must be a list"
    if kind == "too_short":
        return "must have at least one item"
    return message


def known_keys(loc: Loc) -> tuple[str, ...]:
    """The keys that the section at ``loc`` takes."""
    section: type[Section] = Config
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = _inner(section.model_fields[part].annotation) or section
    return tuple(section.model_fields)


def _inner(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if found), None)
