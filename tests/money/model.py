"""The Lua against plain Python: the whole by hypothesis (``machine``), its parts over long histories."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.contract import test_ledger_allowances, test_ledger_lanes_model, test_ledger_model
from tests.money.machine import Reached, WholeLedger
from tests.support.servers import redis_server

# Each is given a Redis and a seed, and holds what the scripts answer against what the model does.
HISTORIES: tuple[Callable[[str, int], Awaitable[None]], ...] = (
    test_ledger_model.test_the_scripts_agree_with_the_model_and_no_cap_is_ever_passed,
    test_ledger_model.test_a_step_in_python_answers_what_the_script_answers,
    test_ledger_lanes_model.test_lanes_in_lua_are_those_in_python,
    test_ledger_allowances.test_allowances_in_lua_are_those_in_python_and_none_is_ever_passed,
)


def whole(url: str, examples: int, steps: int, seed: int) -> dict[str, Any]:
    """``examples`` histories of ``steps`` steps each. Raises what the machine found, at its shortest."""
    examples_made = 0

    class Reaching(WholeLedger):
        reached = Reached(url)

        def __init__(self) -> None:
            nonlocal examples_made
            examples_made += 1
            super().__init__()

    try:
        run_state_machine_as_test(
            seeded(seed)(Reaching),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
                phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    finally:
        Reaching.reached.close()
    return {"examples": examples_made, "steps": Reaching.reached.calls}


async def histories(seeds: int, seed: int) -> dict[str, Any]:
    """Each of ``HISTORIES`` with ``seeds`` seeds."""
    wrong = []
    with redis_server() as url:
        for number in range(seed, seed + seeds):
            for history in HISTORIES:
                with redis.Redis.from_url(url) as client:
                    client.flushall()
                try:
                    await history(url, number)
                except AssertionError as error:
                    wrong.append(f"{getattr(history, '__name__', '')} with seed {number}: {str(error)[:300]}")
            print(f"histories: {number - seed + 1} of {seeds} seeds", file=sys.stderr, flush=True)
    return {"histories": seeds * len(HISTORIES), "wrong": len(wrong), "first": wrong[:5], "pass": not wrong}


def machine(examples: int, seed: int, *, steps: int = 60) -> dict[str, Any]:
    with redis_server() as url:
        try:
            counts = whole(url, examples, steps, seed)
        except AssertionError as error:
            return {"wrong": "\n".join([str(error), *getattr(error, "__notes__", ())])[-3000:], "pass": False}
    return counts | {"pass": True}
