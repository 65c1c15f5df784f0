"""Random histories of lanes on a real Redis: the scripts agree with a plain model, and no limit is ever passed."""

import random

import pytest
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import RateLimit
from omni_core.redis import open_redis
from omni_ledger import Janitor, LaneNews, Passage, Retrying, Ticket, operations
from omni_ledger.script import ScriptConnection

from tests.support.ledger import CLOCKED_LUA, START, hold, set_clock, settlement
from tests.support.ledger_model import Model
from tests.support.ledger_step import step as step_in_python

PROVIDER = Lane("acme", RateLimit(requests_per_minute=20, concurrent=6))
ACCOUNT = Lane("acme/a", RateLimit(min_gap=0.2))
SEATS = (
    Lane("acme/a big", RateLimit(tokens_per_minute=900)),
    Lane("acme/a quick", RateLimit(requests_per_minute=7)),
    Lane("acme/a any"),
)
PACES = (0, 5, 90, 100, 101, 700, 5_000, 61_000, 400_000)
LEASE = 3_000


def some_operation(chance: random.Random, number: int, names: list[str], tickets: dict[str, int]) -> list[bytes]:
    attempt = chance.choice(names[-9:]) if names and chance.random() < 0.9 else f"never heard of {number}"
    lanes = (*(lane for lane in (PROVIDER, ACCOUNT) if chance.random() < 0.6), chance.choice(SEATS))
    action = chance.choices(("admit", "settle", "renew", "reap", "leave", "keep"), (9, 6, 1, 1, 1, 1))[0]
    if action == "admit":
        ticket = chance.choice(list(tickets)) if tickets and chance.random() < 0.5 else f"router/{number}"
        names.append(f"a{number}")
        passage = Passage(
            lanes=lanes,
            tokens=chance.choice((1, 50, 300, 1_000)),
            learns=chance.random() < 0.9,
            ticket=Ticket(id=ticket, came_ms=tickets.get(ticket, 0), lease_ms=LEASE) if chance.random() < 0.5 else None,
        )
        retrying = Retrying(again=chance.random() < 0.5, percent=20, least=2) if chance.random() < 0.5 else None
        ttl = chance.choice((1_000, 30_000))
        return operations.admit(hold(f"a{number}", passage=passage, retrying=retrying, ttl_ms=ttl))
    if action == "settle":
        news = LaneNews(
            lane=chance.choice(SEATS).name,
            requests_per_minute=chance.choice((0, 0, 0, 30)),
            tokens_per_minute=chance.choice((0, 0, 0, 2_000)),
            requests_left=chance.choice((-1, 0, 3)),
            tokens_left=chance.choice((-1, 40, 500)),
            left_for=chance.choice((0, 0, 0, 2.5)),
            refused=chance.choice(("", "rate", "rate", "at_once")),
        )
        tokens = chance.choice((-1, 0, 20, 400))
        return operations.settle(settlement(attempt, tokens=tokens, news=news if chance.random() < 0.4 else None))
    return {
        "renew": lambda: operations.renew(attempt, 30_000),
        "reap": lambda: operations.reap(10_000),
        "keep": lambda: operations.keep(names[-9:]),
        "leave": lambda: operations.leave(
            chance.choice(list(tickets) or ["router/none"]), [each.name for each in lanes]
        ),
    }[action]()


@pytest.mark.parametrize("seed", range(4))
async def test_lanes_in_lua_are_those_in_python(clean_redis: str, seed: int) -> None:
    chance, model, names, tickets = random.Random(seed), Model(), list[str](), dict[str, int]()
    model.now, seen = START, set()
    async with open_redis(clean_redis) as redis:
        script, janitor = ScriptConnection(redis, CLOCKED_LUA), Janitor(redis, script=CLOCKED_LUA)
        for number in range(0, 2_400, 3):
            model.now += chance.choices(PACES, (9, 9, 5, 5, 5, 9, 4, 1, 0.2))[0]
            await set_clock(redis, model.now)
            batch = [some_operation(chance, number + one, names, tickets) for one in range(chance.randint(1, 3))]
            arguments = [argument for operation in batch for argument in operation]
            said = operations.results(await script.call(arguments))
            assert said == operations.results(step_in_python(model, arguments)), (number, batch)
            for operation, result in zip(batch, said, strict=True):
                seen.add(tuple(result[:2]) if result and result[0] == "n" else "granted")
                if result and result[0] == "n" and len(result) > 8 and len(tickets) < 6:
                    tickets[_ticket(operation)] = result[7]
            if chance.random() < 0.05:
                tickets.clear()
            if number % 30 == 0:
                for lane in await janitor.lanes(100):
                    assert lane == model.lanes.standing(lane.name, model.now), number
        await script.drop()
        await janitor.close()
    assert {("n", "paced"), ("n", "retry_budget"), "granted"} <= seen
    learned = [model.lanes.of(seat.name) for seat in SEATS]
    assert {known.how for known in learned} >= {"refused"} or any(known.how == "told" for known in learned)


def _ticket(operation: list[bytes]) -> str:
    return next(iter(operations._unpack(operation[0])[17][2:3]), "")
