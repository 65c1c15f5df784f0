"""What is wrong with a configuration, and where: file, line and key (or the environment variable that set it)."""

import difflib
import re
from collections.abc import Collection, Iterable

import msgspec

Loc = tuple[str | int, ...]
_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class Place(msgspec.Struct, frozen=True):
    """A line of the file (from 1), or the environment variable that overrides it."""

    line: int = 1
    variable: str = ""


class Problem(msgspec.Struct, frozen=True):
    """``loc`` is the path of the key, e.g. ("providers", 0, "tier")."""

    loc: Loc
    message: str
    place: Place | None = None


class ConfigErrors(ValueError):
    """A configuration that cannot be used. ``problems`` are lines for a person, in the order of the file;
    ``secret_files`` are those it names, so that it can be tried again when one of them changes."""

    def __init__(self, problems: Iterable[str], secret_files: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        self.secret_files = tuple(secret_files)
        super().__init__("\n".join(self.problems))


class Places:
    """Where each key of a document was written."""

    def __init__(self) -> None:
        self._places: dict[Loc, Place] = {}

    def note(self, loc: Loc, place: Place) -> None:
        self._places[loc] = place

    def find(self, loc: Loc) -> Place:
        """The place of ``loc``, or of the nearest thing around it that was written down."""
        for end in range(len(loc), -1, -1):
            place = self._places.get(loc[:end])
            if place is not None:
                return place
        return Place()


def dotted(loc: Loc) -> str:
    """``providers[0].tier``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def undotted(text: str) -> Loc:
    """The other way."""
    return tuple(int(number) if number else word for number, word in _PART.findall(text))


def render(problems: Iterable[Problem], places: Places, filename: str) -> tuple[str, ...]:
    """``omniroute.yaml:7: providers[0].tier: must be …``, in the order of the file, variables last, none twice."""
    rows = [(problem.place or places.find(problem.loc), dotted(problem.loc), problem.message) for problem in problems]
    rows.sort(key=lambda row: (row[0].variable, row[0].line))
    lines = [
        f"{place.variable or f'{filename}:{place.line}'}: {f'{key}: ' if key else ''}{message}"
        for place, key, message in rows
    ]
    return tuple(dict.fromkeys(lines))


def suggestion(word: str, known: Collection[str]) -> str:
    """``; did you mean 'tier'?``, or nothing when no known word is near."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
