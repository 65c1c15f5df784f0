"""Whose requests and answers are kept, for how long, and how much of them. Nobody's, unless it is said here."""

from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Section

# What is kept of one body, compressed or not, must fit into one message of NATS (1 MiB).
MOST_BYTES = 512 * 1024
_WEEK, _YEAR = 7 * 86_400, 366 * 86_400


class BodiesSection(Section):
    """``all`` is everybody's; ``keys`` names keys of who runs the gateway, or is ids of any, and ``providers`` and
    ``combos`` are those of which calls are kept. ``share`` are so many in a hundred, ``most_bytes`` is of one body."""

    all: Flag = False
    keys: tuple[Name, ...] = ()
    providers: tuple[Name, ...] = ()
    combos: tuple[Name, ...] = ()
    keep: Annotated[float, BeforeValidator(scalars.lasting(_YEAR))] = float(_WEEK)
    most_bytes: Annotated[int, BeforeValidator(scalars.whole(256, MOST_BYTES))] = 64 * 1024
    share: Annotated[int, BeforeValidator(scalars.whole(1, 100))] = 100
    redact: Flag = True

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.model_fields_set and not (self.all or self.keys or self.providers or self.combos):
            if self.model_fields_set == {"all"}:  # said to be off
                return self
            message = "keeps nothing: say all: on, or name keys, providers or combos"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self
