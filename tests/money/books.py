"""What a fleet has written down, against what its clients got and what its provider was asked."""

import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from omni_launch.cli import cli
from omni_simulator import Simulator

from tests.money.load import NAME, Answer
from tests.support.fleet import ADMIN, Fleet

SHOWN = 5
REAPED = "failed", 500


def settled(made: Fleet, within: float) -> float:
    """Wait until nothing is held or under way; how long that took, in seconds. Raises ``AssertionError``."""
    began = time.monotonic()
    last: object = "nothing"
    while time.monotonic() - began < within:
        try:
            found = made.get("/api/audit/usage").json()
            last = {name: found.get(name) for name in ("ok", "settled", "waiting_events", "pending_messages")}
            if found.get("settled") and made.open_reservations() == 0:
                return time.monotonic() - began
        except (httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
            last = repr(error)
        time.sleep(0.1)
    raise AssertionError(f"not settled within {within} s: {last}")


def judged(made: Fleet, provider: Simulator, answers: Mapping[str, Answer], *, killed: bool) -> dict[str, Any]:
    """Figures, ``pass`` among them. Everything must be settled. Where services were ``killed``, an edge's clients may
    have got nothing, and what a router had answered and not settled yet is told by the reaper."""
    calls = Counter(found[1].decode() for seen in provider.recent if (found := NAME.search(seen.body)))
    requests, attempts = _rows(made)
    wrong: list[str] = []
    lost = twice = 0
    for name, answer in answers.items():
        rows = requests.get(name, [])
        if len(rows) > 1:
            twice += 1
            wrong.append(f"{name} has {len(rows)} request events, and got {answer}")
        if answer.status == 200 and not rows:
            lost += 1
            wrong.append(f"{name} has no request event, and got {answer}")
        if rows and not answer.status and not killed:
            wrong.append(f"{name} has a request event and no answer, and nobody was killed")
        if rows and answer.complete and rows[0][1:] not in ((("ok", 200), REAPED) if killed else (("ok", 200),)):
            wrong.append(f"{name} was answered whole, and its event says {rows[0][1:]}")
    wrong += [f"{name} has a request event, and nobody asked for it" for name in requests if name not in answers]
    owner = {row[0]: name for name, rows in requests.items() for row in rows}
    wrong += [f"an attempt belongs to the request {id_}, which has no event" for id_ in attempts if id_ not in owner]
    by_name: dict[str, list[str]] = defaultdict(list)
    for id_, outcomes in attempts.items():
        by_name[owner.get(id_, id_)] += outcomes
    for name in calls.keys() | by_name.keys():
        outcomes, asked = by_name[name], calls[name]
        without = outcomes.count("aborted")  # only of these nobody can say whether there was a call
        if asked > len(outcomes):
            lost += asked - len(outcomes)
            wrong.append(f"{name}: the provider was called {asked} times, and attempts are {outcomes}")
        # A call that is given up while it is made may come to the provider or not.
        most = asked + (outcomes.count("cancelled") if killed else 0)
        if len(outcomes) - without > most:
            twice += len(outcomes) - without - most
            wrong.append(f"{name}: the provider was called {asked} times, and attempts are {outcomes}")
    proofs = _proofs(made)
    wrong += [f"{what}: {said}" for what, (code, said) in proofs.items() if code]
    ends = Counter(outcome for each in attempts.values() for outcome in each)
    return {
        "requests": len(answers), "upstream_calls": calls.total(),
        "request_events": sum(map(len, requests.values())), "attempt_events": sum(map(len, attempts.values())),
        "aborted": ends["aborted"],
        "lost": lost, "duplicate": twice, "wrong": len(wrong), "first": wrong[:SHOWN], "pass": not wrong,
    }  # fmt: skip


def _rows(made: Fleet) -> tuple[dict[str, list[tuple[str, str, int]]], dict[str, list[str]]]:
    """Requests by the name that their client gave (id, outcome, status), and outcomes of attempts by request id."""
    requests: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    attempts: dict[str, list[str]] = defaultdict(list)
    folder = made["analytics"][0].data_dir / "analytics"
    with closing(sqlite3.connect(f"file:{folder / 'usage.sqlite3'}?mode=ro", uri=True, timeout=20)) as store:
        for name, *row in store.execute("SELECT request_id, id, outcome, status FROM request_event"):
            requests[name].append((row[0], row[1], row[2]))
        for id_, outcome in store.execute("SELECT request_id, outcome FROM attempt_event"):
            attempts[id_].append(outcome)
    return requests, attempts


def _proofs(made: Fleet) -> dict[str, tuple[int, str]]:
    """What the product's own commands say: exit code and words."""
    key = Path(made.home, "admin.key")
    key.write_text(ADMIN)
    folder = str(made["analytics"][0].data_dir)
    asked = {
        "analytics rebuild --check": ["analytics", "rebuild", "--check", "--data-dir", folder],
        "audit usage": ["audit", "usage", "--url", made.dashboard, "--key-file", str(key), "--wait", "10"],
    }
    said = {name: CliRunner().invoke(cli, command) for name, command in asked.items()}
    return {name: (result.exit_code, result.output[-500:]) for name, result in said.items()}
