"""The router's logic, whole, in virtual time: its laws hold in 500 seeds, and none is one that cannot fail."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
import pytest
from omni_ledger import Grant, Hold, Refusal, Settlement
from omni_router.adapters.events import ProtobufEvents
from omni_router.domain.records import RequestRecord
from omni_router.domain.walk import Walk
from omni_router.ports import UpstreamRequest
from omni_router.service.attempt import Attempt
from omni_router.service.hedging import Race
from omni_router.service.held import Held

from tests.simulation.providers import Answer, Providers
from tests.simulation.simulate import replay, simulate
from tests.simulation.verdicts import LAWS
from tests.support.ledger_model import Model

SEEDS, BLOCKS = 500, 20


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_laws_hold(block: int) -> None:
    each = SEEDS // BLOCKS
    reports = [simulate(seed) for seed in range(block * each, (block + 1) * each)]
    broken = [f"{law}: {said} ({replay(report.seed)})" for report in reports for law, said in report.broken]
    assert not broken, "\n".join(broken[:20])
    checked: Counter[str] = Counter()
    figures: Counter[str] = Counter()
    for report in reports:
        checked.update(report.checked)
        figures.update(report.figures)
    assert set(checked) == set(LAWS), "each of them was asked"
    assert (
        min(figures[name] for name in ("answered", "left", "probes", "opened", "outrun", "unsent", "troubled")) > 0
    ), figures


def run(seed: int, count: int, **env: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation"],
        env=os.environ | {"SEED": str(seed), "N": str(count)} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_seed_replays_exactly_in_another_process_with_other_hashes() -> None:
    first, second = (run(11, 1, PYTHONHASHSEED=salt)[-1]["figures"]["digest"] for salt in ("1", "2"))
    assert first == second
    assert run(12, 1)[-1]["figures"]["digest"] != first


def test_a_run_says_a_line_a_law_and_how_it_went() -> None:
    lines = run(3, 2)
    assert [line["test"] for line in lines] == [*(f"simulation {law}" for law in LAWS), "simulation runs"]
    assert all(set(line) == {"test", "seed", "figures", "pass"} and line["pass"] for line in lines)


class SlowlyRefusing(Providers):
    """Says at once that it fails, and takes its time to say how."""

    async def send(self, request: UpstreamRequest) -> Answer:
        answer = await super().send(request)
        if answer.status != 200:
            answer.script = [(3.0, data, tokens) for _, data, tokens in answer.script]
        return answer


def test_a_client_that_leaves_while_a_refusal_is_read_pays_nothing() -> None:
    reports = [simulate(seed, providers=SlowlyRefusing) for seed in range(20)]
    assert sum(report.figures["left"] for report in reports) > 20
    assert not [said for report in reports for law, said in report.broken if law == "attempts"]


# ---- each law is seen to fail ---------------------------------------------------------------------------------------


class TwoProbes(Model):
    """Forgets who probes."""

    def admit(self, hold: Hold) -> Grant | Refusal | None:
        for breaker in self.breakers.values():
            breaker.probe = ""
        return super().admit(hold)


class Impatient(Model):
    """Opens a circuit a failure too early."""

    def settle(self, settlement: Settlement) -> tuple[str, bool]:
        policy = settlement.breaker
        if policy is not None and policy.failures > 1:
            fewer = msgspec.structs.replace(policy, failures=policy.failures - 1)
            settlement = msgspec.structs.replace(settlement, breaker=fewer)
        return super().settle(settlement)


class Generous(Model):
    """Lets twice the budget be spent."""

    def admit(self, hold: Hold) -> Grant | Refusal | None:
        if hold.budget is not None:
            twice = msgspec.structs.replace(hold.budget, cap_nano_usd=2 * hold.budget.cap_nano_usd)
            hold = msgspec.structs.replace(hold, budget=twice)
        return super().admit(hold)


class Uncounted(Model):
    """Has a minute end at once."""

    def _wait(self, owner: str, limit: int) -> float:
        return 0.0


class Hasty(Model):
    """Lets everybody through at once."""

    def admit(self, hold: Hold) -> Grant | Refusal | None:
        return super().admit(msgspec.structs.replace(hold, passage=None))


class Repeated(Providers):
    """A transport that sends a POST again by itself."""

    async def send(self, request: UpstreamRequest) -> Answer:
        await super().send(request)
        return await super().send(request)


class Endless(Providers):
    """Keeps to no deadline."""

    async def send(self, request: UpstreamRequest) -> Answer:
        msgspec.structs.force_setattr(request, "begin_within", 1e6)
        msgspec.structs.force_setattr(request, "timeouts", msgspec.structs.replace(request.timeouts, total=1e6))
        return await super().send(request)


def fails(law: str, seeds: int = 25, **options: Any) -> bool:
    return any(law in {broken for broken, _ in simulate(seed, **options).broken} for seed in range(seeds))


@pytest.mark.parametrize(
    ("law", "model"),
    [("probes", TwoProbes), ("breakers", Impatient), ("budgets", Generous), ("rates", Uncounted), ("lanes", Hasty)],
)
def test_a_ledger_that_breaks_a_law_is_found_out(law: str, model: type[Model]) -> None:
    assert fails(law, model=model)


@pytest.mark.parametrize(("law", "providers"), [("calls", Repeated), ("ends", Endless)])
def test_a_transport_that_breaks_a_law_is_found_out(law: str, providers: type[Providers]) -> None:
    assert fails(law, providers=providers)


def settle_again(was: Callable[..., bool]) -> Callable[..., bool]:
    def settle(self: Held, *arguments: Any) -> bool:
        settled = was(self, *arguments)
        self._settled = False
        return settled

    return settle


def all_well(was: Callable[..., bytes]) -> Callable[..., bytes]:
    def request(self: ProtobufEvents, record: RequestRecord) -> bytes:
        return was(self, msgspec.structs.replace(record, outcome="ok"))

    return request


def give_up(was: Callable[..., bool]) -> Callable[..., bool]:
    return lambda walk, offer: bool(walk.failures) or was(walk, offer)


def tell_all(_: Any) -> Any:
    return False


def say_twice(was: Callable[..., Any]) -> Callable[..., Any]:
    async def frames(self: Attempt) -> AsyncGenerator[bytes, None]:
        async for data in was(self):
            yield data
            yield data

    return frames


def forget(was: Callable[..., Any]) -> Callable[..., Any]:
    async def let_go(race: Race, going: Any) -> None:
        going.clear()

    return let_go


@pytest.mark.parametrize(
    ("law", "owner", "name", "broken"),
    [
        ("attempts", Held, "settle", settle_again),
        ("events", ProtobufEvents, "request", all_well),
        ("unsent", Held, "would_be_unmade", tell_all),
        ("starvation", Walk, "passes_over", give_up),
        ("text", Attempt, "_frames", say_twice),
        ("events", Race, "_let_go", forget),
    ],
)
def test_a_router_that_breaks_a_law_is_found_out(
    monkeypatch: pytest.MonkeyPatch, law: str, owner: type, name: str, broken: Callable[..., Any]
) -> None:
    monkeypatch.setattr(owner, name, broken(getattr(owner, name)))
    assert fails(law)
