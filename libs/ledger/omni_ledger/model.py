"""What crosses the ledger's border: reservations asked for, granted, refused and settled.

Money in whole nano-USD, below 2^53 (9,007,199 USD) so that Lua's doubles hold it exactly; larger amounts are taken as
that bound. Limits, budgets and breakers are passed with every call, so the ledger needs no configuration of its own.
"""

from collections.abc import Mapping

import msgspec
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import BreakerPolicy
from omni_catalogue.windows import Window

WINDOWS = ("day", "week", "month", "total")
MEASURES = ("requests", "tokens", "input", "output", "usd", "concurrent")
# Of allowances; "minute" and "5h" roll.
ALLOWANCE_WINDOWS = ("minute", "5h", *WINDOWS)


class BudgetHold(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt may cost at most: ``fixed`` (its input) plus ``per_output_token`` for each token granted.

    ``cap`` applies to ``window``, a calendar window in UTC: "day", "week" (from Monday), "month" or "total"; or one
    that is told by its borders (``omni_catalogue.windows``). With ``is_whole`` all output that is wanted is granted, or
    none.
    """

    cap_nano_usd: int
    window: Window
    fixed_nano_usd: int
    per_output_token_nano_usd: int
    is_whole: bool = False


class AllowanceHold(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt may take at most of something that ``most`` of is allowed in a ``window``: ``fixed``, plus
    ``per_output_token`` for each token granted; nothing is taken, nor refused, where both are 0.

    ``of`` is "requests" (spent when it is granted), "input", "output" or "tokens" (both; held, and settled to truth),
    or "concurrent": attempts under way, which have no window. "minute" and "5h" roll: in any such time no more than
    ``most`` is let through, as far as it is not settled to more. The others are as a budget's.

    ``of`` "usd" (nano-USD) is for the windows that roll, as others have budgets, and for what refuses nothing.

    With ``warn`` (percents, may be none) an ``events.v1.LimitEvent`` is emitted where what is spent comes to one of
    them, once a window. It has what ``limit`` is: its id, its name, its organisation. Without ``refuses`` it has some,
    and refuses and clamps nothing.
    """

    of: str
    most: int
    window: Window = ""
    fixed: int = 0
    per_output_token: int = 0
    warn: tuple[int, ...] | None = None
    limit: tuple[str, str, str] = ("", "", "")
    refuses: bool = True


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a key shares with others. ``owner`` names its windows; 0 requests means no limit.

    What an attempt may cost is the same on every level: the input and the token of all budgets of a hold are equal.
    One that is not ``leasable`` is not held for what an attempt may take at most, so that no slice can pay for it.
    """

    owner: str
    requests_per_minute: int = 0
    budget: BudgetHold | None = None
    allowances: tuple[AllowanceHold, ...] = ()
    leasable: bool = True


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the queue of a lane. ``id`` is "<router>/<what that calls it>", ``came_ms`` what the refusal said that
    gave it, 0 before that; who does not ask again within ``lease_ms`` loses it."""

    id: str
    came_ms: int = 0
    lease_ms: int = 8000


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """The lanes that an attempt goes through, all or none, with so many ``tokens`` as far as is known before it. With
    ``learns``, what was learned of the last of them holds where it says nothing itself."""

    lanes: tuple[Lane, ...]
    tokens: int
    learns: bool = True
    ticket: Ticket | None = None


class Retrying(msgspec.Struct, frozen=True, kw_only=True):
    """A budget of retries: of the fleet's requests so many percent, or ``least`` in 10 to 20 seconds. ``again`` is
    whether this attempt is one, or a request's first."""

    again: bool
    percent: int
    least: int


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation to take before one attempt, named by ``attempt_id``: asking again gives the same grant.

    ``count_request`` is true on the attempts of a request until one of them is granted: it then counts as one towards
    ``requests_per_minute`` (0: no limit), here and on the shared ``levels``. ``wanted_output`` is in tokens; granted is
    what every budget can pay for and every allowance has left. ``circuits`` are what must be in order besides the
    account, and ``secret`` is the version of its secret; with ``breaker`` None none is asked. ``early`` asks to probe
    circuits that were opened on suspicion before their time is up. After ``ttl_ms`` without a settlement or a renewal
    the reservation is charged in full and ``abort_events`` (serialised ``events.v1.Event``) are emitted in the name of
    ``router_id``. ``passage`` is what the provider takes; what is let through counts there until it is settled.
    ``serves_away`` is whether all its limits let it be paid from a slice while Redis is away.
    """

    attempt_id: str
    request_id: str
    key_id: str
    account_id: str
    count_request: bool
    requests_per_minute: int
    budget: BudgetHold | None
    wanted_output: int
    breaker: BreakerPolicy | None
    ttl_ms: int
    router_id: str
    abort_events: tuple[bytes, ...] = ()
    circuits: tuple[str, ...] = ()
    secret: str = ""
    early: bool = False
    levels: tuple[Level, ...] = ()
    passage: Passage | None = None
    retrying: Retrying | None = None
    serves_away: bool = False


class Grant(msgspec.Struct, frozen=True):
    """``granted_output`` tokens are paid for; ``probe`` says that this attempt decides about a breaker, ``in_lanes``
    that it counts as under way, there or where a limit is of attempts at once, only as long as its router says so
    (``Ledger.keep_soon``, every 15 s)."""

    granted_output: int
    reserved_nano_usd: int
    probe: bool
    in_lanes: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """``reason`` is "rate_limited", "budget_exhausted", "budget_held", "tokens_exhausted", "tokens_held",
    "breaker_open", "paced" (a lane lets nobody through now) or "retry_budget".

    ``retry_after`` is in seconds; 0 for a window that never starts anew ("total"). Where an allowance refuses,
    ``cause`` is what it is of, "usd" with the reasons of a budget. ``circuit`` is whose breaker is open, ``cause`` why
    ("failing", "rate_limit", "quota", "refused"), ``told`` whether the provider said how long. ``level`` is the owner
    of the shared level that refuses, "" where it is the key's own limit or a breaker. Of "paced" ``circuit`` is the
    lane, ``came_ms`` when its ticket came to the queue, and ``ahead`` how many came before. ``recalled`` says that
    routers hold slices of what refuses, and have been asked to give them back.
    """

    reason: str
    retry_after: float
    circuit: str = ""
    cause: str = ""
    told: bool = False
    level: str = ""
    came_ms: int = 0
    ahead: int = 0
    recalled: bool = False


class LaneNews(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer tells of the lane that learns: limits a minute (0: not told), what is left of them (-1: not told)
    for so many seconds, and whether it was ``refused`` for coming too often ("rate") or with too many ("at_once")."""

    lane: str
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    requests_left: int = -1
    tokens_left: int = -1
    left_for: float = 0.0
    refused: str = ""


class LaneStanding(msgspec.Struct, frozen=True):
    """Of a lane: what was learned, how ("told", "refused" or ""), and what there is of it now."""

    name: str
    requests_per_minute: int
    tokens_per_minute: int
    at_once: int
    learned: str
    requests_in_window: int
    tokens_in_window: int
    under_way: int
    waiting: int


class Evidence(msgspec.Struct, frozen=True):
    """What an attempt says of a circuit: "success"; "failure", which counts; "cool", which opens it at once, for
    ``told`` seconds or, where that is 0, by a backoff of its ``cause``; or "neutral", nothing, and a probe is given
    back."""

    circuit: str
    outcome: str
    cause: str = ""
    told: float = 0.0


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about an attempt. ``attempt_id`` "" means that nothing was reserved and there are only events.

    ``evidence`` is for the attempt's circuits; with ``breaker`` None it only gives probes back. ``secret`` is the
    version of the account's that was used, ``jitter`` (0 to 1) spreads cooldowns that nobody told. ``events`` are
    serialised ``events.v1.Event``, emitted in the same atomic step, through the outbox of ``router_id``. ``tokens`` are
    those that it took of its lanes, -1 where nobody knows; ``used`` are tokens of input and of output, for allowances.
    ``if_reaped`` is one event more of an attempt that its own do not tell of, where the reaper has told of it already.
    """

    attempt_id: str
    cost_nano_usd: int
    breaker: BreakerPolicy | None
    events: tuple[bytes, ...]
    router_id: str
    evidence: tuple[Evidence, ...] = ()
    secret: str = ""
    jitter: float = 0.5
    tokens: int = -1
    news: LaneNews | None = None
    used: tuple[int, int] = (0, 0)
    if_reaped: bytes = b""


class Pick(msgspec.Struct, frozen=True, kw_only=True):
    """What a choice among places wants to know of the fleet; "" for what it does not.

    ``cursor`` names a count of requests, taken one further. ``uses`` names counts of uses by member: of ``members``,
    the first of the least used has one more afterwards. ``conversation`` is whose warm prompt caches are asked for,
    ``left`` are circuits whose quota is.
    """

    cursor: str = ""
    uses: str = ""
    members: tuple[str, ...] = ()
    conversation: str = ""
    left: tuple[str, ...] = ()


class WarmPlace(msgspec.Struct, frozen=True):
    """Where a conversation's prompt cache was warm ``ago`` seconds before, holding so many tokens."""

    place: str
    tokens: int
    ago: float


class Picked(msgspec.Struct, frozen=True):
    """``cursor`` is how many requests came before, ``uses`` the counts before this one, in the order of the members.
    ``left`` are the shares of quotas that are left (0 to 1) by circuit, of those that are known."""

    cursor: int = 0
    uses: tuple[int, ...] = ()
    warm: tuple[WarmPlace, ...] = ()
    left: Mapping[str, float] = {}
