"""What guards over content look for, and what they do about it."""

import re
from typing import Annotated

from omni_catalogue.guards import INJECTION_MODES, KINDS, PII_MODES, SEVERITIES
from omni_catalogue.patterns import PatternError, compile_pattern
from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.problems import suggestion
from omni_auth.domain.sections.base import Flag, Section

MAX_PATTERNS = 32
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,19}")


def _mode(words: tuple[str, ...]) -> BeforeValidator:
    read = scalars.one_of(words)

    def mode(value: object) -> str:
        return words[0] if scalars.flag_or_none(value) is False else read(value)

    return BeforeValidator(mode)


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("omniroute", "{message}", {"message": message})


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise _refuse("must be a pattern")
    try:
        compile_pattern(value)
    except PatternError as error:
        raise _refuse(f"the pattern {error}") from None
    return value


def _pii(value: object) -> object:
    """A mode alone is one of requests and answers."""
    return {"request": value, "answer": value} if isinstance(value, str) else value


def _injection(value: object) -> object:
    return {"mode": value} if isinstance(value, str) else value


Mode = Annotated[str, _mode(PII_MODES)]
Action = Annotated[str, _mode(INJECTION_MODES)]
Kind = Annotated[str, BeforeValidator(scalars.one_of(KINDS))]
Written = Annotated[str, BeforeValidator(_pattern)]


class PiiSection(Section):
    """Personal data and secrets; ``patterns`` are kinds of one's own, by name."""

    request: Mode | None = None
    answer: Mode | None = None
    kinds: tuple[Kind, ...] | None = None
    patterns: dict[str, Written] | None = None
    restore: Flag | None = None

    @model_validator(mode="after")
    def _names(self) -> "PiiSection":
        for name in self.patterns or {}:
            if not _KIND.fullmatch(name):
                raise _refuse("patterns: a name has small letters, digits, '_' and '-' (at most 20, a letter first)")
            if name in KINDS:
                raise _refuse(f"patterns: {name!r} is looked for already; give yours another name")
        if len(self.patterns or {}) > MAX_PATTERNS:
            raise _refuse(f"patterns: has more than {MAX_PATTERNS}")
        return self


class InjectionSection(Section):
    """Attempts to turn a model against its operator. ``rules`` say what is done about one, whatever its severity."""

    mode: Action | None = None
    rules: dict[str, Action] | None = None

    @model_validator(mode="after")
    def _known(self) -> "InjectionSection":
        for name in self.rules or {}:
            if name not in SEVERITIES:
                near = suggestion(name, SEVERITIES)
                raise _refuse(f"rules: unknown rule {name!r}{near} (known: {', '.join(SEVERITIES)})")
        return self


class GuardsSection(Section):
    pii: Annotated[PiiSection | None, BeforeValidator(_pii)] = None
    injection: Annotated[InjectionSection | None, BeforeValidator(_injection)] = None
