"""Whose a key is: an organisation's, and perhaps a team's and a user's. Pure."""

from collections.abc import Callable, Mapping

import msgspec
from omni_core.ports.analytics import Slice

from omni_dashboard.usage.measures import OWNERS

Values = tuple[str, ...]


class Owner(msgspec.Struct, frozen=True):
    """Empty is nobody's."""

    organisation: str = ""
    team: str = ""
    user: str = ""


_NOBODY = Owner()


def of_keys(filters: Mapping[str, Values], owners: Mapping[str, Owner]) -> dict[str, Values]:
    """The same filters in words that analytics knows: of the keys that those who are asked for own."""
    found = {name: values for name, values in filters.items() if name not in OWNERS}
    asked = {name: values for name, values in filters.items() if name in OWNERS}
    if asked:
        keys = [
            key
            for key, owner in owners.items()
            if all(getattr(owner, name) in values for name, values in asked.items())
        ]
        wanted = found.get("key")
        found["key"] = tuple(key for key in keys if wanted is None or key in wanted)
    return found


def values_of(wanted: Values, given: Values, owners: Mapping[str, Owner]) -> Callable[[Slice], Values]:
    """What a slice whose values are of the dimensions ``given`` has for those ``wanted``."""
    if wanted == given:
        return lambda one: one.values
    place = {name: number for number, name in enumerate(given)}

    def named(one: Slice) -> Values:
        owner = owners.get(one.values[place["key"]], _NOBODY) if "key" in place else _NOBODY
        return tuple(one.values[place[name]] if name in place else str(getattr(owner, name)) for name in wanted)

    return named
