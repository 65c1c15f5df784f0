"""Whatever OpenAPI allows, and what it forbids, asked of a gateway in this process: nothing is answered with a fault of
ours, nor in a way that OpenAPI does not tell.

Cases are schemathesis'. Where a path names something, half of them name what is there; what a case takes away is put
back, and what it made goes again. An operation that has too few cases of its own leaves its share to the others.
"""

import asyncio
import hashlib
import json
import multiprocessing
import threading
import time
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Caller
from omni_wire.errors import GatewayError
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.security.world import PLATFORM, World, world

T = TypeVar("T")

DEADLINE = 30.0
HOST = "http://gateway"
MOST_URL = 60_000  # no client of ours sends a longer one, and listeners take 16 KiB
FIRST = 8  # cases of each operation, allowed ones and forbidden ones, before it is known what they cost
MOST_ROUNDS = 8
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
ME = Caller("schema", PLATFORM)
# What is there in the beginning, in an order in which it can be made, and what more may be asked about.
THERE: dict[str, dict[str, dict[str, Any]]] = {
    "organisations": {"other": {}},
    "teams": {"research": {}},
    "users": {"dora@example.org": {}},
    "memberships": {"research/dora@example.org": {}},
    "request-tags": {"eu": {}},
    "limits": {"team/research/monthly": {"requests_per_minute": 60}},
    "providers": {"fresh": {"format": "anthropic.messages", "base_url": "https://fresh.example"}},
    "accounts": {"fresh/main": {"api_key": "none"}},
    "combos": {"best": {"targets": ["acme/sim"]}},
    "proxies": {"office": {"url": "http://proxy.example.com:3128"}},
    "aliases": {"gpt-4o": {"target": "acme/sim"}},
    "prices": {"*/sim": {"input": 1, "output": 2}},
    "settings": {"settings": {"routing": {"retries": 1}}},
}
MORE = {
    "organisations": ["default"], "providers": ["acme"], "accounts": ["acme/first"], "limits": ["key/victim/monthly"],
    "keys": ["victim", "second", "ci"], "quota": ["acme/first"], "models": ["acme/sim"],
}  # fmt: skip


class Tally:
    """What was asked and how it was answered."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.taken: Counter[str] = Counter()
        self.faults: list[str] = []
        self.undescribed: list[str] = []

    def note(self, case: Case, mode: GenerationMode, answer: Response) -> None:
        self.cases[mode.value] += 1
        self.statuses[answer.status_code] += 1
        self.taken[mode.value] += answer.status_code < 300
        where = f"{case.method} {case.formatted_path[:200]}"
        if answer.status_code >= 500:
            self.faults.append(f"{where}: {answer.status_code} {answer.text[:200]}")
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            told = {f"{type(one).__name__} {str(one.message)[:200]}" for one in group.exceptions}
            self.undescribed.append(f"{where}: {answer.status_code} {'; '.join(sorted(told))}")

    def add(self, other: "Tally") -> None:
        self.cases += other.cases
        self.statuses += other.statuses
        self.taken += other.taken
        self.faults += other.faults
        self.undescribed += other.undescribed


def of_everything(home: Path, count: int, chosen: int, *, workers: int = 1, every: int = 1) -> dict[str, Any]:
    """``count`` cases in all, over every so-many-th operation of the edge's description and the management API's. Each
    of ``workers`` processes has a gateway of its own, and its part of them."""
    of = workers * every
    shares = [(str(home / str(number)), count // workers, chosen, number, of) for number in range(workers)]
    if workers == 1:
        found = [_part(*shares[0])]
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = [part.result() for part in [pool.submit(_part, *share) for share in shares]]
    tallies = {"edge": Tally(), "management": Tally()}
    for part, _ in found:
        for name, tally in part.items():
            tallies[name].add(tally)
    return figures(tallies, sum(operations for _, operations in found))


def _part(home: str, count: int, chosen: int, number: int, of: int) -> tuple[dict[str, Tally], int]:
    """Each operation has a few cases, and the rest is shared out so that each takes as long as the others: some cases
    cost a hundred times what others do to make."""
    tallies = {"edge": Tally(), "management": Tally()}
    with gateway(Path(home)) as asking:
        operations = asking.operations()[number::of]
        left = {(place, mode): 1.0 for place in range(len(operations)) for mode in GenerationMode}
        first = min(FIRST, -(-count // len(left)))
        for turn in range(MOST_ROUNDS):
            missing = count - sum(tally.cases.total() for tally in tallies.values())
            if missing <= 0 or not left:
                break
            whole = sum(left.values())
            for (place, mode), weight in list(left.items()):
                share = first if turn == 0 else max(1, round(missing * weight / whole))
                name, operation = operations[place]
                began = time.process_time()
                asked = asking.ask(operation, mode, share, chosen + turn, name, tallies[name])
                if asked < share:
                    del left[place, mode]
                else:
                    left[place, mode] = asked / max(1e-6, time.process_time() - began)
    return tallies, len(operations)


class Asking:
    """A gateway whose loop is another thread's, and who asks it."""

    def __init__(self, made: World, loop: asyncio.AbstractEventLoop) -> None:
        self._made, self._loop = made, loop
        self._clients = {"edge": made.client("edge"), "management": made.client("dashboard")}
        self._keys = {"edge": made.keys["developer"][0], "management": made.keys["admin"][0]}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def operations(self) -> list[tuple[str, Any]]:
        """With the name of the description that each is in."""
        found = []
        for name, path in (("edge", "/openapi.json"), ("management", "/api/openapi.json")):
            document = json.loads(self._send(name, httpx.Request("GET", HOST + path)).content)
            schema = schemathesis.openapi.from_dict(document)
            found += [(name, result.ok()) for result in schema.get_all_operations()]
        return found

    async def furnish(self) -> None:
        for kind, objects in THERE.items():
            for name in objects:
                await self.restore(f"/api/{kind}/{name}")
        await self.restore("/api/keys/")

    async def restore(self, path: str) -> None:
        """What is there by ``THERE`` and was taken away."""
        kind, _, name = unquote(path).removeprefix("/api/").partition("/")
        with suppress(GatewayError):
            if name in THERE.get(kind, {}):
                await self._made.put(kind, name, THERE[kind][name])
        for name, role in (("victim", "developer"), ("second", "admin")) if kind == "keys" else ():
            with suppress(GatewayError):
                await self._made.auth.create_key(NewKey(name, role), ME)

    async def tidy(self, path: str, made: str) -> None:
        """``made`` is the id of a key, or empty; ``path`` else that of an object that was made."""
        with suppress(GatewayError):
            if made:
                await self._made.auth.revoke_key(made, ME)
                return
            kind, _, name = path.removeprefix("/api/").partition("/")
            if unquote(name) not in THERE.get(kind, {}):
                await self._made.auth.delete_object(ME, kind, unquote(name))

    def ask(self, operation: Any, mode: GenerationMode, share: int, chosen: int, name: str, tally: Tally) -> int:
        """How many cases there were, at most ``share``."""
        words = operation.path.split("/")
        kind = next((word for word in words if word in THERE or word in MORE), "")
        names = [*THERE.get(kind, ()), *MORE.get(kind, ())]
        room = share

        @seed(chosen ^ int.from_bytes(hashlib.sha256(operation.label.encode()).digest()[:4], "big"))
        @settings(
            max_examples=share, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy(generation_mode=mode), st.sampled_from([*names, None, None]), st.data())
        def one(case: Case, named: str | None, data: Any) -> None:
            nonlocal room
            if room <= 0:
                return
            room -= 1
            if named is not None and case.path_parameters:
                case.path_parameters = {next(iter(case.path_parameters)): named.replace("/", "%2F")}
            if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
                case.body["model"] = data.draw(st.sampled_from(["acme/sim", "best", case.body["model"]]))
            tally.note(case, mode, self._answer(case, name))

        # An operation without anything that could be wrong has no wrong cases.
        with warnings.catch_warnings(), suppress(Unsatisfiable):
            warnings.simplefilter("ignore")
            one()
        return share - room

    def _answer(self, case: Case, name: str) -> Response:
        headers = {"authorization": f"Bearer {self._keys[name]}"}
        asked = requests.Request(**case.as_transport_kwargs(base_url=HOST, headers=headers)).prepare()
        if len(asked.url or "") > MOST_URL:
            reject()
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
        told = [(key.encode("utf-8"), _bytes(value)) for key, value in asked.headers.items()]
        answer = self._send(name, httpx.Request(asked.method or "", asked.url or "", headers=told, content=body))
        if answer.status_code == 201:
            made = answer.json().get("key", {}).get("id", "")
            self.run(self.tidy(asked.path_url.partition("?")[0], made))
        elif answer.status_code == 200 and case.method == "DELETE":
            self.run(self.restore(asked.path_url.partition("?")[0]))
        return Response(
            status_code=answer.status_code, content=answer.content, request=asked, elapsed=0.0, verify=True,
            headers={key: [value] for key, value in answer.headers.items()}, encoding=answer.encoding,
        )  # fmt: skip

    def _send(self, name: str, request: httpx.Request) -> httpx.Response:
        return self.run(self._clients[name].send(request))


@contextmanager
def gateway(home: Path) -> Iterator[Asking]:
    home.mkdir(parents=True, exist_ok=True)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with ExitStack() as exits:
        exits.callback(loop.close)
        exits.callback(thread.join, DEADLINE)
        exits.callback(loop.call_soon_threadsafe, loop.stop)
        around = world(home)
        made = asyncio.run_coroutine_threadsafe(around.__aenter__(), loop).result(DEADLINE)
        exits.callback(lambda: asyncio.run_coroutine_threadsafe(around.__aexit__(None, None, None), loop).result(30))
        asking = Asking(made, loop)
        asking.run(asking.furnish())
        yield asking


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8")


def figures(tallies: dict[str, Tally], operations: int) -> dict[str, Any]:
    everything = list(tallies.values())
    faults = [fault for tally in everything for fault in tally.faults]
    undescribed = [found for tally in everything for found in tally.undescribed]
    made = tallies["management"]
    return {
        "operations": operations,
        "cases": sum(tally.cases.total() for tally in everything),
        "server_errors": len(faults),
        "first_errors": faults[:5],
        "undescribed_answers": len(undescribed),
        "first_undescribed": undescribed[:5],
        "statuses": {name: dict(sorted(tally.statuses.items())) for name, tally in tallies.items()},
        "taken": {
            mode.value: round(made.taken[mode.value] / max(1, made.cases[mode.value]), 3) for mode in GenerationMode
        },
        "pass": not faults and not undescribed,
    }
