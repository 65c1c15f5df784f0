"""Whatever OpenAPI allows, and what it forbids, asked of a whole gateway: nothing is answered with a fault of ours.

Cases are schemathesis'. Where a path names something, half of them name what is there. Of the keys that may be revoked,
the one in use is none.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.support.fleet import ADMIN, KEY, config
from tests.support.stack import running, simulator

DEADLINE = 30.0
# Names of what is there, or may be by then, by what the path says before them.
NAMES = {
    "providers": ["acme", "claude", "fresh"],
    "accounts": ["acme/first", "fresh/main", "claude/a"],
    "combos": ["best", "cheap"],
    "aliases": ["gpt-4o", "vendor/model"],
    "prices": ["acme/sim", "*/sim"],
    "settings": ["settings"],
    "organisations": ["default", "other"],
    "teams": ["research"],
    "users": ["dora@example.org"],
    "memberships": ["research/dora@example.org"],
    "tags": ["eu"],
    "limits": ["victim/monthly"],
    "keys": ["victim", "second", "ci"],
    "breakers": ["acme/first"],
}


class Tally:
    """What was asked and how it was answered."""

    def __init__(self) -> None:
        self.cases: Counter[GenerationMode] = Counter()
        self.statuses: Counter[int] = Counter()
        self.taken: Counter[GenerationMode] = Counter()
        self.faults: list[str] = []
        self.undescribed: list[str] = []

    def note(self, case: Case, answer: Any) -> None:
        mode = case.meta.generation.mode if case.meta is not None else GenerationMode.POSITIVE
        self.cases[mode] += 1
        self.statuses[answer.status_code] += 1
        self.taken[mode] += answer.status_code < 300
        where = f"{case.method} {case.formatted_path[:200]}"
        if answer.status_code >= 500:
            self.faults.append(f"{where}: {answer.status_code} {answer.text[:200]}")
        try:
            case.validate_response(answer, checks=[content_type_conformance, response_schema_conformance])
        except FailureGroup as group:
            told = {f"{type(one).__name__} {str(one.message)[:200]}" for one in group.exceptions}
            self.undescribed.append(f"{where}: {answer.status_code} {'; '.join(sorted(told))}")


def of_everything(home: Path, count: int, chosen: int) -> dict[str, Any]:
    """``count`` cases in all, over the edge's description and the management API's, even shares for each operation."""
    with gateway(home) as url, requests.Session() as session:
        documents = {"edge": f"{url}/openapi.json", "management": f"{url}/api/openapi.json"}
        loaded = {name: schemathesis.openapi.from_url(found) for name, found in documents.items()}
        operations = [(name, found.ok()) for name, schema in loaded.items() for found in schema.get_all_operations()]
        share = -(-count // (2 * len(operations)))
        tallies = {name: Tally() for name in loaded}
        for name, operation in operations:
            key = KEY if name == "edge" else ADMIN
            for mode in GenerationMode:
                ask(operation, mode, share, chosen, url, key, session, tallies[name])
    return figures(tallies, len(operations))


@contextmanager
def gateway(home: Path) -> Iterator[str]:
    """A whole gateway over a simulated provider; yields its URL. There is a second admin's key, and a victim's."""
    with simulator() as provider, running("all", home, config(provider.url), {}) as stack:
        headers = {"authorization": f"Bearer {ADMIN}"}
        for new in ({"name": "second", "role": "admin"}, {"name": "victim"}):
            requests.post(f"{stack.edge}/api/keys", json=new, headers=headers, timeout=DEADLINE).raise_for_status()
        yield stack.edge


def ask(
    operation: Any, mode: GenerationMode, share: int, chosen: int, url: str, key: str, session: Any, tally: Tally
) -> None:
    names = NAMES.get(operation.path.split("/")[2 if operation.path.startswith("/api/") else 1], [])
    if "breakers" in operation.path:
        names = NAMES["breakers"]
    headers = {"authorization": f"Bearer {key}"}
    room = share

    @seed(chosen ^ int.from_bytes(hashlib.sha256(operation.label.encode()).digest()[:4], "big"))
    @settings(
        max_examples=share, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(generation_mode=mode), st.sampled_from([*names, None, None]), st.data())
    def one(case: Case, name: str | None, data: Any) -> None:
        nonlocal room
        if room <= 0:
            return
        room -= 1
        if name is not None and case.path_parameters:
            case.path_parameters = {next(iter(case.path_parameters)): name.replace("/", "%2F")}
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = data.draw(st.sampled_from(["acme/sim", "claude/sim", case.body["model"]]))
        tally.note(case, case.call(base_url=url, session=session, headers=headers, timeout=DEADLINE))

    # An operation without anything that could be wrong has no wrong cases.
    with warnings.catch_warnings(), suppress(Unsatisfiable):
        warnings.simplefilter("ignore")
        one()


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
        "taken": {mode.value: round(made.taken[mode] / max(1, made.cases[mode]), 3) for mode in GenerationMode},
        "pass": not faults,
    }
