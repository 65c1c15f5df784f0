"""The names of circuits, what a breaker watches: an account, an account for one model, a combo's target.

Neither accounts nor combos have blanks in their names, so each name can be read back.
"""

import msgspec

_TARGET = "target:"


class Circuit(msgspec.Struct, frozen=True):
    """``account`` is "" for a combo's target, ``model`` is "" for a whole account, else an id at the account's provider
    or, with ``combo``, the target's "provider/model"."""

    account: str
    model: str = ""
    combo: str = ""


def seat(account: str, model: str) -> str:
    """An account for one model."""
    return f"{account} {model}"


def target(combo: str, model: str) -> str:
    """``model`` is "provider/model"."""
    return f"{_TARGET}{combo} {model}"


def read(name: str) -> Circuit:
    first, _, model = name.partition(" ")
    if first.startswith(_TARGET):
        return Circuit("", model, first.removeprefix(_TARGET))
    return Circuit(first, model)
