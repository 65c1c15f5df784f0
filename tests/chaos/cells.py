"""The wall's cells: a fault, a client, a way to answer, with and without a next target. Each has models of its own,
hence circuits of its own, so all of them can go on at once over one gateway."""

import random
from typing import Any
from urllib.parse import quote

import msgspec

from tests.chaos.dialects import DIALECTS, FORMATS, GEMINI, MESSAGES, OLLAMA, body, path
from tests.chaos.faults import BROKEN_THOUGHT, FAULTS, FIRST_EVENTS, OUTCOMES, UTF8, Fault, Outcome

BODIES = ("relayed", "converted")
STREAMS = ("relayed", "converted", "held", "resumed")
WORDS, REST_WORDS = 14, 9
_FIRST = ("amber", "brook", "cedar", "dune", "ébène", "fjörd", "grove", "härz", "isle", "jade")
_REST = ("quartz", "rüne", "slate", "tide", "umbra", "vale", "wüste", "xenon", "yarrow", "zinc")
BUDGET_USD = 1000


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """``after`` is how many words the first target says before a fault within them; ``first`` and ``next`` the formats
    of the targets, by their dialect, ``next`` "" where there is none."""

    id: str
    fault: Fault
    dialect: str
    stream: bool
    mode: str
    after: int
    first: str
    next: str
    words: tuple[str, ...]
    rest: str

    def __str__(self) -> str:
        how = f"{'stream' if self.stream else 'body'} {self.mode}, {self.first} then {self.next or 'nobody'}"
        return f"{self.id}: {self.fault.name}, {self.dialect} {how}, after {self.after}"

    @property
    def key(self) -> str:
        """The name of its API key: one a fault, so that a budget can be added up."""
        return f"key-{FAULTS.index(self.fault)}"

    @property
    def path(self) -> str:
        return path(self.dialect, self.id, self.stream)

    @property
    def body(self) -> dict[str, Any]:
        return body(self.dialect, self.id, self.stream, self.fault.says == "call")

    @property
    def first_provider(self) -> str:
        return f"own-{self.id}" if self.fault.own else self.first

    @property
    def first_model(self) -> str:
        steps = self.fault.steps if self.stream else self.fault.whole or ""
        return _model(f"{self.id}a", self.said, steps.replace("{n}", str(self._event)))

    @property
    def next_model(self) -> str:
        return _model(f"{self.id}b", self.rest, "tools" if self.fault.says == "call" else "")

    @property
    def said(self) -> str:
        return " ".join(self.words)

    @property
    def came(self) -> str:
        """The text that the first target gets out before the fault."""
        if self.fault.says == "call":
            return self.said
        if self.fault.says == "thought":
            return ""
        return " ".join(self.words[: self.after])

    @property
    def _event(self) -> int:
        return FIRST_EVENTS[self.first] + self.after

    @property
    def strikes(self) -> str:
        return self.fault.struck(self.stream)

    @property
    def expected(self) -> Outcome:
        if self.fault.says == "thought" and self.stream and self.mode == "resumed" and self.next:
            return BROKEN_THOUGHT
        return OUTCOMES[self.strikes, self.mode, bool(self.next)]


def _model(name: str, text: str, steps: str) -> str:
    return f"{name}+say:{quote(text, safe='')}" + (f"+{steps}" if steps else "")


def cells(seed: int) -> list[Cell]:
    """All of them, in an order that the seed draws, as it draws the formats, the words and the places of the faults."""
    chance = random.Random(seed)
    made: list[Cell] = []
    for fault in FAULTS:
        for dialect in DIALECTS:
            ways = [(True, mode) for mode in STREAMS]
            ways += [(False, mode) for mode in BODIES] if fault.whole is not None else []
            for stream, mode in ways:
                for has_next in (True, False):
                    made.append(_cell(chance, len(made), fault, dialect, stream, mode, has_next))
    chance.shuffle(made)
    return made


def _cell(
    chance: random.Random, number: int, fault: Fault, dialect: str, stream: bool, mode: str, has_next: bool
) -> Cell:
    others = [name for name in DIALECTS if name != dialect]
    first = dialect if mode == "relayed" else chance.choice(others) if mode == "converted" else chance.choice(DIALECTS)
    after = chance.randint(2, WORDS - 2)
    words = [f"{chance.choice(_FIRST)}{at}" for at in range(WORDS)]
    words[after] = f"東{UTF8}{after}"
    rest = " ".join(f"{chance.choice(_REST)}{at}" for at in range(REST_WORDS))
    return Cell(
        id=f"c{number}", fault=fault, dialect=dialect, stream=stream, mode=mode, after=after, first=first,
        next=chance.choice(DIALECTS) if has_next else "", words=tuple(words), rest=rest,
    )  # fmt: skip


def sample(seed: int, each: int) -> list[Cell]:
    """So many cells of every fault, each for another dialect."""
    chance = random.Random(seed)
    by_fault: dict[str, list[Cell]] = {fault.name: [] for fault in FAULTS}
    for cell in cells(seed):
        by_fault[cell.fault.name].append(cell)
    chosen = [
        chance.choice([cell for cell in found if cell.dialect == dialect])
        for found in by_fault.values()
        for dialect in chance.sample(DIALECTS, each)
    ]
    chance.shuffle(chosen)
    return chosen


def secret(cell: Cell) -> str:
    return f"or-test-chaos-{cell.key}-0123456789"


def configuration(chosen: list[Cell], base: str, closed: str) -> dict[str, Any]:
    """A provider a format, and one to itself for each fault that is an account's; a combo a cell, named by its id.
    ``closed`` is an address where nobody listens."""
    providers = [_provider(name, name, base) for name in DIALECTS]
    providers += [
        _provider(cell.first_provider, cell.first, closed if cell.fault.port else base)
        for cell in chosen
        if cell.fault.own
    ]
    return {
        "server": {"host": "127.0.0.1", "port": 20128, "require_api_key": True},
        "providers": providers,
        "combos": [_combo(cell) for cell in chosen],
        "keys": [
            {"name": f"key-{at}", "secret": {"value": f"or-test-chaos-key-{at}-0123456789"},
             "budget": {"usd": BUDGET_USD, "window": "month"}}
            for at in range(len(FAULTS))
        ],
        "routing": {
            "retries": 0,
            "cache": False,
            "timeouts": {"connect": 10, "first_byte": 30, "idle": 30, "total": 60},
            "breaker": {"failures": 1, "window": 600, "open_for": 600, "limited_for": 600, "limited_longest": 600,
                        "refused_for": 600},
        },
    }  # fmt: skip


def _provider(name: str, dialect: str, base: str) -> dict[str, Any]:
    below = "" if dialect in (MESSAGES, GEMINI, OLLAMA) else "/v1"
    return {
        "id": name, "format": FORMATS[dialect], "base_url": base + below, "allow_private_address": True,
        "accounts": [{"name": "a", "api_key": {"value": "k"}}],
        "models": [{"id": "*", "price": {"input": 3, "output": 15}}],
    }  # fmt: skip


def _combo(cell: Cell) -> dict[str, Any]:
    targets = [f"{cell.first_provider}/{cell.first_model}"]
    if cell.next:
        targets.append(f"{cell.next}/{cell.next_model}")
    combo: dict[str, Any] = {"name": cell.id, "strategy": "fill-first", "targets": targets}
    if cell.fault.hasty:
        combo["timeouts"] = {"first_byte": 2, "idle": 2, "total": 3}
    if cell.mode == "held":
        combo["mid_stream"] = {"hold_tokens": 1000, "hold_seconds": 60}
    elif cell.mode == "resumed":
        combo["mid_stream"] = {"resume": True}
    return combo
