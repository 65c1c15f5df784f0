"""``lua/step.lua`` in plain Python, over the model: the same packed operations in, the same packed results out."""

from collections.abc import Iterator
from typing import Any

import msgspec
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import BreakerPolicy, RateLimit
from omni_ledger import (
    AllowanceHold,
    BudgetHold,
    Evidence,
    Grant,
    Hold,
    LaneNews,
    Level,
    Passage,
    Pick,
    Refusal,
    Retrying,
    Settlement,
    Ticket,
)

from tests.support.ledger_model import Model

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

Result = list[Any]


def step(model: Model, arguments: list[bytes]) -> bytes:
    """The reply to one call, at ``model.now``."""
    return _pack([perform(model, operation, blobs) for operation, blobs in split(arguments)])


def split(arguments: list[bytes]) -> Iterator[tuple[list[Any], tuple[bytes, ...]]]:
    """The operations of a call, each with its blobs."""
    at = 0
    while at < len(arguments):
        operation = _unpack(arguments[at])
        yield operation, tuple(arguments[at + 1 : at + 1 + operation[1]])
        at += 1 + operation[1]


def pack(results: list[Result]) -> bytes:
    return _pack(results)


def perform(model: Model, operation: list[Any], blobs: tuple[bytes, ...]) -> Result:
    name = operation[0]
    if name == "a":
        return _admitted(model.admit(hold_of(operation, blobs)))
    if name == "s":
        result, overrun = model.settle(settlement_of(operation, blobs))
        return [result, int(overrun)]
    if name == "r":
        return [int(model.renew(operation[2], operation[3]))]
    if name == "reap":
        return list(model.reap())
    if name == "pick":
        _, _, cursor, uses, members, conversation, *_ = operation
        wanted = Pick(cursor=cursor, uses=uses, members=tuple(members), conversation=conversation)
        picked = model.pick(wanted)
        return [picked.cursor, list(picked.uses), [[each.place, each.tokens, each.ago] for each in picked.warm]]
    if name == "cleared":
        model.cleared(operation[2], operation[3])
    elif name == "keep":
        model.keep(operation[2])
    elif name == "leave":
        model.lanes.leave(operation[2], operation[3])
    elif name == "used":
        model.used(operation[2], operation[3])
    elif name == "warmed":
        model.warmed(*operation[2:5])
    else:
        raise ValueError(f"the model knows no operation {name!r}")
    return []


def hold_of(operation: list[Any], blobs: tuple[bytes, ...]) -> Hold:
    """The account is the first circuit. What the ledger does not ask for, the request, stays empty."""
    _, _, attempt, key, account, counts, limit, wanted, budget, breaker, ttl, router, circuits, secret, early, *rest = (
        operation
    )
    return Hold(
        attempt_id=attempt,
        request_id="",
        key_id=key,
        account_id=account,
        count_request=counts == 1,
        requests_per_minute=limit,
        budget=_budget(budget),
        wanted_output=wanted,
        breaker=_policy(breaker),
        ttl_ms=ttl,
        router_id=router,
        abort_events=blobs,
        circuits=tuple(circuits[1:]),
        secret=secret,
        early=early == 1,
        levels=tuple(
            Level(owner=owner, requests_per_minute=most, budget=_budget(shared), allowances=_allowances(allowed))
            for owner, most, shared, *allowed in (rest[0] if rest else ())
        ),
        passage=_passage(rest[2]) if len(rest) > 2 and rest[2] else None,
        retrying=_retrying(rest[3]) if len(rest) > 3 else None,
    )


def _window(packed: Any) -> Any:
    return packed if isinstance(packed, str) else tuple(packed)


def _allowances(packed: list[Any]) -> tuple[AllowanceHold, ...]:
    return tuple(
        AllowanceHold(
            of=of,
            most=most,
            window=_window(window),
            fixed=fixed,
            per_output_token=per_token,
            warn=tuple(soft[0]) if soft else None,
            refuses=not soft or len(soft) > 2,
            limit=tuple(soft[1]) if soft else ("", "", ""),
        )
        for of, most, window, fixed, per_token, *soft in (packed[0] if packed else ())
    )


def _passage(packed: list[Any]) -> Passage:
    tokens, learns, ticket, came, lease, lanes = packed
    return Passage(
        lanes=tuple(
            Lane(
                name,
                RateLimit(requests_per_minute=requests, tokens_per_minute=most, min_gap=gap / 1000, concurrent=at_once),
            )
            for name, requests, most, gap, at_once in lanes
        ),
        tokens=tokens,
        learns=learns == 1,
        ticket=Ticket(id=ticket, came_ms=came, lease_ms=lease) if ticket else None,
    )


def _retrying(packed: list[int]) -> Retrying:
    kind, percent, least = packed
    return Retrying(again=kind == 2, percent=percent, least=least)


def _news(packed: list[Any]) -> LaneNews:
    lane, requests, tokens, requests_left, tokens_left, left_for, refused = packed
    return LaneNews(
        lane=lane,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        requests_left=requests_left,
        tokens_left=tokens_left,
        left_for=left_for / 1000,
        refused=("", "rate", "at_once")[refused],
    )


def settlement_of(operation: list[Any], blobs: tuple[bytes, ...]) -> Settlement:
    _, _, attempt, evidence, cost, secret, breaker, router, jitter, *rest = operation
    if_reaped = blobs[-1] if len(rest) > 3 else b""
    return Settlement(
        attempt_id=attempt,
        cost_nano_usd=cost,
        breaker=_policy(breaker),
        events=blobs[:-1] if if_reaped else blobs,
        router_id=router,
        evidence=tuple(Evidence(circuit, outcome, cause, told / 1000) for circuit, outcome, cause, told in evidence),
        secret=secret,
        jitter=jitter,
        tokens=rest[0] if rest else -1,
        news=_news(rest[1]) if len(rest) > 1 and rest[1] else None,
        used=tuple(rest[2]) if len(rest) > 2 else (0, 0),
        if_reaped=if_reaped,
    )


def _admitted(outcome: Grant | Refusal | None) -> Result:
    if outcome is None:
        return ["c"]
    if isinstance(outcome, Grant):
        return ["g", outcome.granted_output, outcome.reserved_nano_usd, int(outcome.probe), int(outcome.in_lanes)]
    circuit = [outcome.circuit, outcome.cause, int(outcome.told)]
    if outcome.reason == "paced":
        return ["n", outcome.reason, outcome.retry_after, *circuit, "", outcome.came_ms, outcome.ahead]
    if outcome.reason == "retry_budget":
        return ["n", outcome.reason, 0]
    if outcome.reason == "breaker_open":
        came = ["", outcome.came_ms, 0] if outcome.came_ms else []
        return ["n", outcome.reason, outcome.retry_after, *circuit, *came]
    return ["n", outcome.reason, outcome.retry_after, "", outcome.cause, 0, outcome.level]


def _budget(packed: Any) -> BudgetHold | None:
    if packed == 0:
        return None
    cap, window, fixed, per_token = packed
    return BudgetHold(
        cap_nano_usd=cap, window=_window(window), fixed_nano_usd=fixed, per_output_token_nano_usd=per_token
    )


def _policy(packed: Any) -> BreakerPolicy | None:
    if packed == 0:
        return None
    failures, *milliseconds = packed
    names = BreakerPolicy.__struct_fields__[1:]  # in the order in which operations.py packs them
    return BreakerPolicy(failures=failures, **dict(zip(names, (each // 1000 for each in milliseconds), strict=True)))
