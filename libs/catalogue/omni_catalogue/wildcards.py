"""Aliases of many ids: which of them an id is meant for, and what it then stands for.

Theory of operation. "*" is any run of characters, an empty one too, and "?" is one. Each "*" but the last takes as
little as it can, which loses no match: what follows it is of fixed length, so the earliest place is as good as any.
That keeps the time linear in the id for each "*", and what a "*" took is the same every time.
"""

import re
from collections.abc import Iterable

from omni_catalogue.snapshot import Wildcard


def is_wildcard(name: str) -> bool:
    return "*" in name or "?" in name


class Matcher:
    """A ``Wildcard`` made ready."""

    __slots__ = ("_pattern", "_target", "name")

    def __init__(self, wildcard: Wildcard) -> None:
        self.name, self._target = wildcard.name, wildcard.target
        pattern, *parts = (
            "".join("." if char == "?" else re.escape(char) for char in part) for part in self.name.split("*")
        )
        for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            run = ".*?" if left else ".*"
            run = f"({run})" if left == len(parts) - 1 else run
            pattern += f"(?>{run}{part})" if left else f"{run}{part}"
        self._pattern = re.compile(pattern, re.DOTALL)

    def matches(self, requested: str) -> bool:
        return self._pattern.fullmatch(requested) is not None

    def meant(self, requested: str) -> str:
        """What an id stands for; "" where it is none of these."""
        found = self._pattern.fullmatch(requested)
        if found is None:
            return ""
        return self._target.replace("*", found[1]) if "*" in self._target and "*" in self.name else self._target


def ranked(wildcards: Iterable[Wildcard]) -> list[Matcher]:
    """In the order to ask them, the most specific first: with the most characters that are meant as they stand, then
    with the fewest wildcards, then the one that is listed first."""
    return [Matcher(wildcard) for wildcard in sorted(wildcards, key=_specificity)]


def _specificity(wildcard: Wildcard) -> tuple[int, int]:
    wild = wildcard.name.count("*") + wildcard.name.count("?")
    return wild - len(wildcard.name), wild
