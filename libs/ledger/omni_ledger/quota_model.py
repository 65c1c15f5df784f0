"""What crosses the ledger's border of providers' quotas. Amounts are whole, as ``omni_catalogue.quotas`` has them:
nano-USD, hundredths of a percent and of a credit, else the thing itself; times are milliseconds of Redis' clock."""

import msgspec
from omni_catalogue.windows import Window

FETCHED = "fetched"


class Counts(msgspec.Struct, frozen=True):
    """What of an account is counted by ourselves: ``of`` in ``window``, of ``owner`` (``QuotaWindow.owner``)."""

    owner: str
    of: str
    window: Window


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of a window of an account's: ``used`` of ``total`` (0: not known) ``of`` something, all back
    in ``ends_in`` seconds (0: not told). ``models`` are patterns of those that it is for, none for all. ``counts`` is
    what we count of the same, so that what is used from now on can be added."""

    name: str
    of: str
    used: int
    total: int
    ends_in: float = 0.0
    unlimited: bool = False
    models: tuple[str, ...] = ()
    counts: Counts | None = None


class Known(msgspec.Struct, frozen=True):
    """A window as it was told at ``at_ms``, by ``how`` "header" or ``FETCHED``; ``ends_ms`` 0 is not known.
    ``counted`` is what we had counted then, -1 where that is not counted; ``days`` are when, one a day at most, and how
    much was used then of what has no end."""

    name: str
    of: str
    used: int
    total: int
    ends_ms: int
    unlimited: bool
    models: tuple[str, ...]
    at_ms: int
    how: str
    counted: int
    days: tuple[tuple[int, int], ...] = ()


class Turn(msgspec.Struct, frozen=True):
    """The right to ask a provider about an account, with a ``fence`` that no earlier one has; 0 is none, for ``wait``
    seconds. ``failures`` is how many before it failed in a row."""

    fence: int
    wait: float = 0.0
    failures: int = 0


class QuotaStanding(msgspec.Struct, frozen=True):
    """All that is known of an account's. ``fetched_ms`` is when it was last fetched (0: never), ``asked_ms`` when that
    was last begun, ``failures`` how often it has failed since and ``reason`` why. ``counts`` are (used, held, when the
    window ends in epoch seconds or 0) of those that were asked for, in their order."""

    plan: str
    message: str
    fetched_ms: int
    windows: tuple[Known, ...]
    asked_ms: int
    failures: int
    reason: str
    counts: tuple[tuple[int, int, int], ...]
