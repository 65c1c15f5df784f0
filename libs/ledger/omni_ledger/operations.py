"""Packing of operations for ``lua/step.lua`` and reading of its results. Pure.

One operation is its packed array and then its blobs, each an argument of the script (Redis 6's cmsgpack has no binary
type, and its strings must be text for us: events therefore travel beside the arrays, not in them).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import BreakerPolicy
from omni_catalogue.windows import CALENDAR, Window
from omni_wire.errors import DependencyUnavailable

from omni_ledger.model import (
    ALLOWANCE_WINDOWS,
    MEASURES,
    WINDOWS,
    AllowanceHold,
    BudgetHold,
    Evidence,
    Grant,
    Hold,
    LaneNews,
    LaneStanding,
    Level,
    Passage,
    Pick,
    Picked,
    Refusal,
    Retrying,
    Settlement,
    WarmPlace,
)

MAX_AMOUNT = 2**53 - 1
MAX_TTL_MS = 24 * 3600 * 1000
MAX_LASTING = 400 * 86_400  # seconds of a window that begins with its first use
MAX_EVENT_BYTES = 256 * 1024
_OUTCOMES = ("success", "failure", "cool", "neutral")
_CAUSES = ("", "failing", "rate_limit", "quota", "refused")
_REFUSED = ("", "rate", "at_once")

Operation = list[bytes]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def _amount(value: int, what: str) -> int:
    if value < 0:
        raise ValueError(f"{what} is negative")
    return value if value < MAX_AMOUNT else MAX_AMOUNT


@lru_cache(64)
def _breaker(policy: BreakerPolicy | None) -> tuple[int, ...] | int:
    if policy is None:
        return 0
    seconds = (
        *(policy.window, policy.open_for, policy.limited_for, policy.limited_longest),
        *(policy.refused_for, policy.refused_longest, policy.told_longest),
    )
    return max(1, policy.failures), *(max(1, each) * 1000 for each in seconds)


def as_window(window: Window, known: Sequence[str]) -> Window:
    """As it is. Raises ``ValueError`` for one that the script does not know."""
    if not isinstance(window, str):
        name, *borders = window
        if len(borders) == 1 and name in known and 0 < borders[0] <= MAX_LASTING:
            return window
        if name not in CALENDAR or len(borders) != 4 or borders != sorted(set(borders)):
            raise ValueError(f"{window!r} is no window of the calendar by its borders")
    elif window not in known:
        raise ValueError(f"unknown window {window!r}")
    return window


def _budget_window(window: Window) -> Window:
    if not isinstance(as_window(window, WINDOWS), str) and len(window) == 2:
        raise ValueError("a budget's window does not begin with its first use")
    return window


def _budget(budget: BudgetHold | None) -> tuple[object, ...] | int:
    if budget is None:
        return 0
    return (
        _amount(budget.cap_nano_usd, "cap_nano_usd"),
        _budget_window(budget.window),
        _amount(budget.fixed_nano_usd, "fixed_nano_usd"),
        _amount(budget.per_output_token_nano_usd, "per_output_token_nano_usd"),
        *((1,) if budget.is_whole else ()),
    )


def _levels(hold: Hold) -> list[tuple[object, ...]]:
    budgets = [level.budget for level in hold.levels if level.budget is not None]
    budgets += [hold.budget] if hold.budget is not None else []
    if len({(budget.fixed_nano_usd, budget.per_output_token_nano_usd) for budget in budgets}) > 1:
        raise ValueError("the budgets of one attempt are asked for different amounts")
    return [_level(level) for level in hold.levels]


def _level(level: Level) -> tuple[object, ...]:
    packed = level.owner, _amount(level.requests_per_minute, "requests_per_minute"), _budget(level.budget)
    return (*packed, [_allowance(each) for each in level.allowances]) if level.allowances else packed


def _allowance(asked: AllowanceHold) -> tuple[object, ...]:
    if asked.of not in MEASURES:
        raise ValueError(f"unknown measure {asked.of!r}")
    if not asked.refuses and asked.warn is None:
        raise ValueError("an allowance that refuses nothing says of which percents it tells, though of none")
    return (
        asked.of,
        _amount(asked.most, "most"),
        as_window(asked.window, ALLOWANCE_WINDOWS) if asked.of != "concurrent" else "",
        _amount(asked.fixed, "fixed"),
        _amount(asked.per_output_token, "per_output_token"),
        *_warned(asked),
    )


def _warned(asked: "AllowanceHold | Pot") -> tuple[object, ...]:
    """As ``_tail``."""
    if asked.warn is None:
        return ()
    return (asked.warn, asked.limit, 1) if asked.refuses else (asked.warn, asked.limit)


def _with_blobs(head: bytes, blobs: tuple[bytes, ...]) -> Operation:
    largest = max(map(len, blobs), default=0)
    if largest > MAX_EVENT_BYTES:
        raise ValueError(f"an event has {largest} bytes, more than {MAX_EVENT_BYTES}")
    return [head, *blobs]


def admit(hold: Hold, *, dry: bool = False) -> Operation:
    """Raises ``ValueError`` for a hold that no caller should make: it says which field."""
    if not hold.attempt_id:
        raise ValueError("attempt_id is empty")
    if not 0 < hold.ttl_ms <= MAX_TTL_MS:
        raise ValueError(f"ttl_ms is not within 1 to {MAX_TTL_MS}")
    shared = _levels(hold) if hold.levels else ()
    head = _pack(
        (
            "a",
            len(hold.abort_events),
            hold.attempt_id,
            hold.key_id,
            hold.account_id,
            1 if hold.count_request else 0,
            _amount(hold.requests_per_minute, "requests_per_minute"),
            _amount(hold.wanted_output, "wanted_output"),
            _budget(hold.budget),
            _breaker(hold.breaker),
            hold.ttl_ms,
            hold.router_id,
            (hold.account_id, *hold.circuits),
            hold.secret,
            1 if hold.early else 0,
            *_tail(shared, dry, hold),
        )
    )
    return _with_blobs(head, hold.abort_events)


def _tail(shared: Sequence[object], dry: bool, hold: Hold) -> tuple[object, ...]:
    """What most holds have nothing of is left out, up to the last thing that this one has."""
    if hold.passage is None and hold.retrying is None:
        return (shared, 1) if dry else (shared,) if shared else ()
    passed = shared, int(dry), _passage(hold.passage) if hold.passage is not None else 0
    return passed if hold.retrying is None else (*passed, _retrying(hold.retrying))


def _passage(passage: Passage) -> tuple[object, ...]:
    ticket = passage.ticket
    return (
        _amount(passage.tokens, "tokens"),
        int(passage.learns),
        *((ticket.id, ticket.came_ms, ticket.lease_ms) if ticket is not None else ("", 0, 0)),
        [_lane(lane) for lane in passage.lanes],
    )


@lru_cache(1024)
def _lane(lane: Lane) -> tuple[str, int, int, int, int]:
    limit = lane.limit
    return (
        lane.name,
        limit.requests_per_minute,
        limit.tokens_per_minute,
        _milliseconds(limit.min_gap),
        limit.concurrent,
    )


def _retrying(retrying: Retrying) -> tuple[int, int, int]:
    return 2 if retrying.again else 1, retrying.percent, retrying.least


def settle(settlement: Settlement) -> Operation:
    """Raises ``ValueError`` as ``admit`` does."""
    blobs = settlement.events
    if settlement.if_reaped:
        blobs = *blobs, settlement.if_reaped
    head = _pack(
        (
            "s",
            len(blobs),
            settlement.attempt_id,
            [_evidence(each) for each in settlement.evidence],
            _amount(settlement.cost_nano_usd, "cost_nano_usd"),
            settlement.secret,
            _breaker(settlement.breaker),
            settlement.router_id,
            settlement.jitter,
            *_truth(settlement),
        )
    )
    return _with_blobs(head, blobs)


def _truth(settlement: Settlement) -> tuple[object, ...]:
    """As ``_tail``."""
    news = _news(settlement.news) if settlement.news is not None else 0
    if settlement.if_reaped:
        return settlement.tokens, news, settlement.used, 1
    if settlement.used != (0, 0):
        return settlement.tokens, news, [_amount(each, "used") for each in settlement.used]
    if news:
        return settlement.tokens, news
    return (settlement.tokens,) if settlement.tokens >= 0 else ()


def _news(news: LaneNews) -> tuple[object, ...]:
    return (
        news.lane,
        _amount(news.requests_per_minute, "requests_per_minute"),
        _amount(news.tokens_per_minute, "tokens_per_minute"),
        news.requests_left,
        news.tokens_left,
        _milliseconds(news.left_for),
        _REFUSED.index(news.refused),
    )


def _milliseconds(seconds: float) -> int:
    return int(max(0.0, min(seconds, 1e9)) * 1000)


def _evidence(evidence: Evidence) -> tuple[str, str, str, int]:
    if evidence.outcome not in _OUTCOMES or evidence.cause not in _CAUSES:
        raise ValueError(f"unknown evidence {evidence.outcome!r} {evidence.cause!r}")
    return evidence.circuit, evidence.outcome, evidence.cause, _milliseconds(evidence.told)


def release(attempt_id: str, circuits: tuple[str, ...]) -> Operation:
    """Give a reservation back as if it had never been; its admission, should it still arrive, finds it closed."""
    neutral = [(circuit, "neutral", "", 0) for circuit in circuits]
    return [_pack(("s", 0, attempt_id, neutral, 0, "", 0, "", 0, 0))]


def told(events: Sequence[bytes], router_id: str) -> Operation:
    """Events of what was reserved nowhere."""
    return _with_blobs(_pack(("s", len(events), "", [], 0, "", 0, router_id, 0)), tuple(events))


def cleared(attempt_id: str, circuits: tuple[str, ...]) -> Operation:
    return [_pack(("cleared", 0, attempt_id, circuits))]


def renew(attempt_id: str, ttl_ms: int) -> Operation:
    if not 0 < ttl_ms <= MAX_TTL_MS:
        raise ValueError(f"ttl_ms is not within 1 to {MAX_TTL_MS}")
    return [_pack(("r", 0, attempt_id, ttl_ms))]


def reap(limit: int) -> Operation:
    return [_pack(("reap", 0, limit))]


def look(
    keys: Sequence[tuple[str, Window]], accounts: Sequence[str], allowances: Sequence[tuple[str, str, Window]] = ()
) -> Operation:
    """``keys`` are (key id or owner of a shared level, budget window or ""), ``allowances`` (owner, of, window)."""
    return [_pack(("look", 0, keys, accounts, allowances))]


def waiting() -> Operation:
    return [_pack(("waiting", 0))]


def circuits(most: int) -> Operation:
    return [_pack(("circuits", 0, most))]


def keep(attempts: Sequence[str]) -> Operation:
    return [_pack(("keep", 0, attempts))]


def leave(ticket: str, lanes: Sequence[str]) -> Operation:
    return [_pack(("leave", 0, ticket, lanes))]


def lanes(most: int) -> Operation:
    return [_pack(("lanes", 0, most))]


def forget(lane: str) -> Operation:
    return [_pack(("forget", 0, lane))]


def reset(circuit: str) -> Operation:
    return [_pack(("reset", 0, circuit))]


def orphans() -> Operation:
    return [_pack(("orphans", 0))]


def pick(wanted: Pick, *, dry: bool = False) -> Operation:
    """Raises ``ValueError`` for counts of nobody."""
    if wanted.uses and not wanted.members:
        raise ValueError("uses without members")
    asked = wanted.cursor, wanted.uses, wanted.members, wanted.conversation
    more = (int(dry), wanted.left) if wanted.left else (1,) if dry else ()
    return [_pack(("pick", 0, *asked, *more))]


MILLIONTHS = 1_000_000


def used(uses: str, member: str) -> Operation:
    return [_pack(("used", 0, uses, member))]


def warmed(conversation: str, place: str, tokens: int, ttl_ms: int) -> Operation:
    return [_pack(("warmed", 0, conversation, place, _amount(tokens, "tokens"), ttl_ms))]


class Pot(msgspec.Struct, frozen=True):
    """A window that slices are taken of: ``of`` is a measure of allowances, "budget" or "rpm". ``warn``, ``limit``
    and ``refuses`` are an allowance's."""

    of: str
    owner: str
    most: int
    window: Window = ""
    warn: tuple[int, ...] | None = None
    limit: tuple[str, str, str] = ("", "", "")
    refuses: bool = True


Amounts = Sequence[int]


def pots(asked: Sequence[Pot]) -> msgspec.Raw:
    """Packed once, for every word about a slice of them. Raises ``ValueError`` as ``admit`` does."""
    return msgspec.Raw(_pack([_pot(each) for each in asked]))


def _pot(pot: Pot) -> tuple[object, ...]:
    known = WINDOWS if pot.of == "budget" else ALLOWANCE_WINDOWS
    window = as_window(pot.window, known) if pot.of != "rpm" else ""
    return pot.of, pot.owner, _amount(pot.most, "most"), window, *_warned(pot)


NO_POTS = msgspec.Raw(_pack(()))


def lease(
    name: tuple[str, str, str],
    seq: int,
    ttl_ms: int,
    *,
    moved: tuple[Amounts, Amounts, Amounts],
    wanted: Amounts,
    least: Amounts,
    asked: msgspec.Raw = NO_POTS,
    events: Sequence[bytes] = (),
    closes: bool = False,
    deposit: bytes | None = None,
) -> Operation:
    """A word about a slice: ``name`` is (its id, its router, its key); of each kind of amount ``moved`` is settled,
    what that came to, and given back. The first word has a ``deposit``, the event of a slice that nobody says more
    of."""
    opens = deposit is not None
    blobs = (deposit, *events) if deposit is not None else tuple(events)
    head = _pack(
        ("lease", len(blobs), *name, seq, ttl_ms, int(closes), *moved, wanted, least, asked, int(opens))
    )  # fmt: skip
    return _with_blobs(head, blobs)


class Leased(msgspec.Struct, frozen=True):
    """What a slice was given, and for how many seconds from when that was asked (0: without end). ``recalled`` asks for
    what is left of it, ``known`` is whether it is there at all."""

    added: tuple[int, ...]
    good_for: float = 0.0
    recalled: bool = False
    known: bool = True


def leased(result: Any) -> Leased:
    if result[0] != "l":
        return Leased((0, 0, 0, 0, 0), known=False)
    return Leased(tuple(map(int, result[1])), result[2] / 1000, result[3] == 1 or result[4] == 1)


def spotless(circuits: Sequence[str], lanes: Sequence[str]) -> Operation:
    return [_pack(("spotless", 0, circuits, lanes))]


def results(reply: object) -> list[Any]:
    """The script's reply, one result an operation. Raises ``DependencyUnavailable`` when it is none."""
    if isinstance(reply, bytes):
        try:
            decoded = _unpack(reply)
        except (msgspec.DecodeError, UnicodeDecodeError):
            decoded = None
        if isinstance(decoded, list):
            return decoded
    raise DependencyUnavailable("the quota ledger (Redis) gave an answer that is not its own", retry_after=1.0)


def failure(result: Any) -> str | None:
    """Redis' message when this operation failed inside the script."""
    return result[1] if result and result[0] == "!" else None


def admitted(result: Any) -> Grant | Refusal | None:
    """None: the attempt is already closed."""
    if result[0] == "g":
        return Grant(result[1], result[2], result[3] == 1, len(result) > 4 and result[4] == 1)
    if result[0] == "n":
        if len(result) > 3:
            level = result[6] if len(result) > 6 else ""
            came, ahead = map(int, result[7:9]) if len(result) > 8 else (0, 0)
            told, recalled = result[5] == 1, len(result) > 9 and result[9] == 1
            return Refusal(result[1], float(result[2]), result[3], result[4], told, level, came, ahead, recalled)
        return Refusal(result[1], float(result[2]))
    return None


def lane_standing(result: Any) -> LaneStanding:
    name, requests, tokens, at_once, learned, *counts = result
    return LaneStanding(name, int(requests), int(tokens), int(at_once), learned, *map(int, counts))


def picked(result: Any, wanted: Pick) -> Picked:
    cursor, uses, warm, *left = result
    shares = zip(wanted.left, left[0], strict=True) if left else ()
    return Picked(
        int(cursor),
        tuple(int(count) for count in uses),
        tuple(WarmPlace(place, int(tokens), float(ago)) for place, tokens, ago in warm),
        {circuit: share / MILLIONTHS for circuit, share in shares if share >= 0},
    )
