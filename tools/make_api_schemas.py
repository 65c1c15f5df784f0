"""Write what OpenAPI says of the configuration's documents, from auth's own sections: the dashboard carries them and
may not import auth. Run through ``make api-schemas``.

python -m tools.make_api_schemas [FILE]

A scalar is described as JSON has it. What a file may also write (``on``, ``1_000``) is taken too, and not told.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import MinLen
from omni_auth.domain import scalars
from omni_auth.domain.entities import KINDS
from omni_auth.domain.schema import Config
from omni_auth.domain.sections import base, combos, guards, limits, logins, prices, providers, routing, rules
from omni_auth.domain.sections.base import Section
from omni_auth.domain.sections.prices import PriceSection
from omni_catalogue import tags
from omni_catalogue.guards import INJECTION_MODES, PII_MODES
from omni_catalogue.logins import LOGINS
from omni_catalogue.patterns import MAX_LENGTH
from pydantic import BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

FILE: Final = Path(__file__).resolve().parent.parent / "dashboard" / "omni_dashboard" / "server" / "documents.json"
Schema = dict[str, Any]


def text(pattern: str, **more: Any) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$", **more}


def like(pattern: re.Pattern[str]) -> Schema:
    return text(pattern.pattern.removesuffix(r"\Z"))


def number(most: float, **more: Any) -> Schema:
    return {"type": "number", "maximum": most, **more}


def closed(**properties: Schema) -> Schema:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,3}}\.[A-Za-z]{{2,10}}"
_V4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_V6 = r"\[[0-9A-Fa-f:.]{2,45}\]"
_PORT = r"(:[1-9][0-9]{0,3})?"
FLAG: Schema = {"type": "boolean"}
WORDLESS: Schema = {"type": "string", "minLength": 1, "maxLength": 1_000}
SECRET: Schema = {"oneOf": [closed(**{source: WORDLESS}) for source in base.SOURCES]}
USD: Schema = {
    "description": "at most nine decimals",
    "anyOf": [number(scalars.MAX_USD, minimum=0), text(r"[0-9]{1,6}(\.[0-9]{1,9})?")],
}


def lasting(most: int) -> Schema:
    return {"anyOf": [number(most, exclusiveMinimum=0), like(scalars._SPAN)]}


SECONDS: Schema = number(86_400, exclusiveMinimum=0)

# What each reader of a scalar takes. Those made by a function are in ``MADE``, under its name.
READERS: dict[Callable[..., Any], Schema] = {
    scalars.flag: FLAG,
    scalars.name: like(scalars._NAME),
    scalars.login: text(rf"({'|'.join(sorted(LOGINS))})/[A-Za-z0-9_.@+-]{{1,60}}"),
    scalars.text: text(r"[\s\S]*\S[\s\S]*"),
    scalars.host: {"anyOf": [text(_HOST), text(_V4, format="ipv4"), {"type": "string", "format": "ipv6"}]},
    scalars.base_url: text(rf"https?://({_HOST}|{_V4}|{_V6}){_PORT}(/[A-Za-z0-9._~-]+)*/?"),
    scalars.proxy_url: text(rf"(https?|socks5h?)://({_HOST}|{_V4}|{_V6}){_PORT}/?"),
    scalars.webhook_url: text(rf"https?://({_HOST}|{_V4}|{_V6}){_PORT}(/[A-Za-z0-9._~-]+)*/?(\?[A-Za-z0-9=&_.~-]{{0,60}})?"),
    scalars.pem_file: text(r"(/[A-Za-z0-9._-]{1,40}){1,6}"),
    scalars.network: {
        "anyOf": [
            {"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"},
            text(rf"{_V4}/[0-9]{{1,2}}"), text(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}"),
        ],
    },
    scalars.host_pattern: text(rf"(\*\.)?{_HOST}"),
    scalars.origin: {"anyOf": [{"const": "*"}, text(r"https?://[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?(\.[a-z]{2,10}){0,2}")]},
    scalars.header_name: text(r"[A-Za-z][A-Za-z0-9-]{0,63}"),
    scalars.seconds: SECONDS,
    scalars.seconds_or_none: {"anyOf": [number(86_400, minimum=0), {"const": "off"}]},
    scalars.share: number(1, minimum=0),
    scalars.percent: number(100, minimum=0),
    scalars.amount: {"anyOf": [number(10**12, exclusiveMinimum=0), text(r"[0-9]{1,12}(\.[0-9]{1,9})?")]},
    scalars.time_of_day: like(scalars._TIME_OF_DAY),
    scalars.window_name: like(scalars._WINDOW_NAME),
    scalars.usd: USD,
    scalars.some_usd: USD,
    scalars.project: like(scalars._PROJECT),
    scalars.profile_arn: like(scalars._PROFILE_ARN),
    scalars.machine_id: like(scalars._MACHINE_ID),
    scalars.version: like(scalars._VERSION),
    scalars.account_id: like(scalars._ACCOUNT),
    scalars.model_id: text(r"(\*|[^*\s]{1,256})"),
    scalars.model_pattern: text(r"\S{1,256}"),
    scalars.pattern: text(r"\S{1,256}"),
    scalars.provider_pattern: like(scalars._PROVIDERS),
    scalars.tag: like(tags._TAG),
    scalars.moment: {"anyOf": [{"type": "string", "format": kind} for kind in ("date", "date-time")]},
    scalars.time_zone: text(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}"),
    scalars.anchor: {"anyOf": [{"type": "string", "format": "date"}, text(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:00)?")]},
    rules._switch: {"enum": ["auto", "on", "off"]},
    rules._progress: {"enum": ["asked", "on", "off"]},
    rules._keep_alive: {"anyOf": [SECONDS, {"const": "off"}]},
    rules._cached: {"enum": [*rules.CACHED, "on", "off"]},
    rules._prompt: {"type": "string"},
    rules._thinking: {"anyOf": [{"enum": ["passthrough", "auto", "adaptive", "custom"]}, ref("ThinkingSection")]},
    guards._pii: {"anyOf": [{"enum": list(PII_MODES)}, ref("PiiSection")]},
    guards._injection: {"anyOf": [{"enum": list(INJECTION_MODES)}, ref("InjectionSection")]},
    guards._pattern: {"type": "string", "maxLength": MAX_LENGTH},
    combos._strategy_name: {"enum": list(combos.STRATEGY_WORDS)},
    combos._strategy: {"anyOf": [{"enum": list(combos.STRATEGY_WORDS)}, ref("StrategySection")]},
    combos._target: {"anyOf": [text(r"[\s\S]*\S[\s\S]*"), ref("TargetSection")]},
    prices._batch: {"anyOf": [number(1, exclusiveMinimum=0), ref("RatesSection")]},
    limits._unpriced: {"anyOf": [{"enum": ["refuse", "serve"]}, ref("PriceSection")]},
    routing._cache: {"anyOf": [FLAG, ref("CacheSection")]},
    routing._semantic: {"anyOf": [{"const": "off"}, ref("SemanticCacheSection")]},
    providers._quota: {
        "anyOf": [FLAG, {"type": "array", "items": ref("QuotaWindowSection"), "maxItems": 16}, ref("QuotaSection")]
    },
    logins._issuer: text(rf"https?://({_HOST}|{_V4}|{_V6}){_PORT}(/[A-Za-z0-9._~-]+)*/?"),
    combos._after: {"anyOf": [SECONDS, {"const": "p95"}]},
    routing._dedup: {"anyOf": [lasting(3_600), {"const": "off"}]},
    base.secret_source: SECRET,
    base.account_key: {"anyOf": [SECRET, {"const": "none"}]},
    base.optional_source: {"anyOf": [SECRET, {"const": "none"}]},
}  # fmt: skip
MADE: dict[str, Callable[..., Schema]] = {
    "within_provider": lambda **_: text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[^\s]{1,255}"),
    "lasting": lambda most: lasting(most),
    "_mode": lambda words, **_: {"enum": list(words)},
    "one_of": lambda words: {"enum": list(words)},
    "count_or_off": lambda most: {"anyOf": [{"type": "integer", "minimum": 0, "maximum": most}, {"const": "off"}]},
    "whole": lambda low, high, **_: {"type": "integer", "minimum": low, "maximum": high},
}


class Writer:
    """``schemas`` grows by every section that is met."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def section(self, found: type[Section]) -> Schema:
        if found.__name__ not in self.schemas:
            self.schemas[found.__name__] = {}
            self.schemas[found.__name__] = self._section(found)
        return ref(found.__name__)

    def _section(self, found: type[Section]) -> Schema:
        fields = found.model_fields
        made: Schema = {
            "type": "object",
            "properties": {name: self._field(field) for name, field in fields.items()},
            "additionalProperties": False,
        }
        if required := [name for name, field in fields.items() if field.is_required()]:
            made["required"] = required
        if found.__doc__ and found.__doc__ != Section.__doc__:
            made["description"] = " ".join(found.__doc__.split())
        return made

    def _field(self, field: FieldInfo) -> Schema:
        found = self._type(field.annotation, field.metadata)
        return found if field.is_required() else {"anyOf": [found, {"type": "null"}]}  # left out, in other words

    def _type(self, annotation: Any, metadata: list[Any]) -> Schema:
        if get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            return self._type(inner, [*more, *metadata])
        readers = [item.func for item in metadata if isinstance(item, BeforeValidator | PlainValidator)]
        sections = [self.section(inner) for inner in _inside(annotation)]
        if readers:
            return self._reader(readers[0], sections)
        if get_origin(annotation) is tuple:
            items = self._type(get_args(annotation)[0], [])
            least = next((item.min_length for item in metadata if isinstance(item, MinLen)), 0)
            return {"type": "array", "items": items, **({"minItems": least} if least else {})}
        if get_origin(annotation) is dict:
            return {"type": "object", "additionalProperties": self._type(get_args(annotation)[1], [])}
        if get_origin(annotation) in (Union, UnionType):
            (some,) = [part for part in get_args(annotation) if part is not NoneType]
            return self._type(some, metadata)
        if isinstance(annotation, type) and issubclass(annotation, Section):
            return self.section(annotation)
        if annotation is str:
            return {"type": "string"}
        raise TypeError(f"{annotation} is not known here")

    def _reader(self, reader: Callable[..., Any], sections: list[Schema]) -> Schema:
        if reader in READERS:
            return READERS[reader]
        made_by = reader.__qualname__.partition(".<locals>")[0]
        if made_by == "switched":
            return {"anyOf": [FLAG, *sections]}
        return MADE[made_by](**inspect.getclosurevars(reader).nonlocals)


def _inside(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Literal, None):
        return []
    return [found for part in get_args(annotation) for found in _inside(part)]


def render() -> str:
    writer = Writer()
    writer.section(Config)
    writer.section(PriceSection)
    kinds = {}
    for kind in KINDS.values():
        writer.section(kind.section)
        found = writer.schemas[kind.section.__name__]
        required = [name for name in found.get("required", ()) if name != kind.label]  # the path says that
        rest = {key: value for key, value in found.items() if key != "required"}
        kinds[kind.name] = f"{kind.word.capitalize()}Document"
        writer.schemas[kinds[kind.name]] = rest | ({"required": required} if required else {})
    made = {"kinds": kinds, "schemas": dict(sorted(writer.schemas.items()))}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else FILE).write_text(render())
