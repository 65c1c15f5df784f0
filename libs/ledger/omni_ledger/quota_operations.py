"""Packing of the operations of ``lua/quotas.lua`` and reading of their results, as ``operations`` does it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from omni_wire.errors import DependencyUnavailable

from omni_ledger.model import ALLOWANCE_WINDOWS
from omni_ledger.operations import MAX_AMOUNT, MAX_LASTING, MILLIONTHS, Operation, as_window
from omni_ledger.quota_model import Counts, Known, QuotaStanding, Told, Turn

# What a provider says must not fill Redis, nor our pages.
MOST_WINDOWS, MOST_MODELS, MOST_TEXT = 64, 16, 300

_pack = msgspec.msgpack.Encoder().encode


def told(account: str, windows: Sequence[Told]) -> Operation:
    return [_pack(("told", 0, account, _windows(windows)))]


def fetching(account: str, lease: float, gap: float = -1.0) -> Operation:
    """``gap`` seconds after the last at the soonest; negative is when it is due."""
    return [_pack(("fetching", 0, account, _ms(lease), _ms(gap) if gap >= 0 else -1))]


def fetched(account: str, fence: int, again: float, plan: str, message: str, windows: Sequence[Told]) -> Operation:
    said = plan[:MOST_TEXT], message[:MOST_TEXT], _windows(windows)
    return [_pack(("fetched", 0, account, fence, _ms(again), *said))]


def unfetched(account: str, fence: int, again: float, reason: str) -> Operation:
    return [_pack(("unfetched", 0, account, fence, _ms(again), reason[:MOST_TEXT]))]


def quotas(asked: Sequence[tuple[str, Sequence[Counts]]]) -> Operation:
    packed = [(account, [_counts(each) for each in counts]) for account, counts in asked]
    return [_pack(("quotas", 0, packed))]


def cut(circuits: Sequence[tuple[str, float]]) -> Operation:
    """``circuits`` with the seconds for which each is to be left alone, 0 for no longer."""
    return [_pack(("cut", 0, [(name, _ms(seconds)) for name, seconds in circuits]))]


def left(shares: Mapping[str, float]) -> Operation:
    """By circuit, from 0 to 1."""
    return [_pack(("left", 0, [(circuit, round(share * MILLIONTHS)) for circuit, share in shares.items()]))]


def cuts() -> Operation:
    return [_pack(("cuts", 0))]


def turn(result: Any) -> Turn:
    fence, more = map(int, result)
    return Turn(fence, 0.0, more) if fence else Turn(0, more / 1000)


def standings(result: Any) -> tuple[int, list[QuotaStanding]]:
    """Redis' time (ms), and what was asked for. Raises ``DependencyUnavailable`` for what no version of ours wrote."""
    now, found = result
    try:
        return int(now), [_standing(*each) for each in found]
    except (TypeError, ValueError, LookupError) as error:
        raise DependencyUnavailable("Redis holds a quota that is not the ledger's", retry_after=1.0) from error


def _standing(told: Any, fetch: Any, counts: Any) -> QuotaStanding:
    plan, message, fetched_ms, windows, *_ = told
    _, _, _, asked_ms, failures, reason, *_ = fetch
    return QuotaStanding(
        plan=plan,
        message=message,
        fetched_ms=int(fetched_ms),
        windows=tuple(_known(*window) for window in windows),
        asked_ms=int(asked_ms),
        failures=int(failures),
        reason=reason,
        counts=tuple((int(spent), int(held), int(ends)) for spent, held, ends in counts),
    )


def _known(
    name: str, of: str, used: Any, total: Any, ends: Any, unlimited: Any, models: Any, at: Any, how: str, counted: Any,
    days: Any = (), *_: Any,
) -> Known:  # fmt: skip
    numbers = int(used), int(total), int(ends)
    seen = tuple((int(when), int(much)) for when, much in days)
    return Known(name, of, *numbers, unlimited == 1, tuple(models), int(at), how, int(counted), seen)


def _windows(windows: Sequence[Told]) -> list[tuple[object, ...]]:
    return [_window(each) for each in windows[:MOST_WINDOWS]]


def _window(told: Told) -> tuple[object, ...]:
    return (
        told.name[:MOST_TEXT],
        told.of,
        _whole(told.used),
        _whole(told.total),
        _ms(told.ends_in) or -1,
        int(told.unlimited),
        [model[:MOST_TEXT] for model in told.models[:MOST_MODELS]],
        _counts(told.counts) if told.counts is not None else 0,
    )


def _counts(counts: Counts) -> tuple[object, ...]:
    return counts.owner, counts.of, as_window(counts.window, ALLOWANCE_WINDOWS)


def _whole(value: int) -> int:
    return max(0, min(value, MAX_AMOUNT))


def _ms(seconds: float) -> int:
    return int(max(0.0, min(seconds, MAX_LASTING)) * 1000)
