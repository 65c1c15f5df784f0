"""What a seed decides: the configuration, the providers' moods, the network's troubles, who asks what and when."""

from random import Random
from typing import Any

import msgspec
from omni_catalogue import snapshot as s
from omni_wire.formats import WireFormat

from tests.simulation.providers import MOODS, Moods
from tests.simulation.speech import CHAT, MESSAGES
from tests.simulation.store import Trouble

ROUTERS = 3
LASTS = 120.0  # seconds in which requests begin
EPOCH = 1_900_000_000_000 // 86_400_000 * 86_400_000  # a midnight in 2030, ms
PRICE = s.Price(input=1_000_000_000, output=10_000_000_000, cached_input=1_000_000_000, cache_write=1_000_000_000)
TIMEOUTS = s.Timeouts(connect=2.0, first_byte=5.0, idle=4.0, total=10.0)
MOST_OUTPUT = 200
LONGEST_WAIT = 20.0


class Wanted(msgspec.Struct, frozen=True):
    """One request. ``leaves`` are the seconds after which its client goes away, 0 for one that stays; ``politely`` by
    closing the answer between two of its parts, else by being cancelled wherever it is."""

    number: int
    at: float
    router: int
    key: str
    model: str
    dialect: WireFormat
    stream: bool
    words: int
    limit: int
    leaves: float
    politely: bool


class World(msgspec.Struct, frozen=True):
    epoch_ms: int
    snapshot: s.Snapshot
    moods: dict[str, Moods]
    troubles: tuple[Trouble, ...]
    dies: tuple[int, float] | None  # which router, and when
    wanted: tuple[Wanted, ...]

    @property
    def caps(self) -> dict[str, int]:
        owners = {key.id: key.budget for key in self.snapshot.keys}
        owners |= {limit.window_owner: limit.budget for limit in self.snapshot.limits}
        return {owner: budget.nano_usd for owner, budget in owners.items() if budget is not None}

    def offers(self, model: str) -> list[str]:
        """The targets, "provider/model", that a requested id stands for."""
        combo = next((combo for combo in self.snapshot.combos if combo.name == model), None)
        return list(combo.targets) if combo is not None else [model]


def world(seed: int) -> World:
    chance = Random(f"world {seed}")
    providers = tuple(_provider(chance, f"p{number}") for number in range(chance.randint(2, 5)))
    moods: dict[str, Moods] = {}
    for provider in providers:
        steady = chance.random() < 0.35
        moods |= {account.id: _moods(chance, steady) for account in provider.accounts}
    combos = tuple(_combo(chance, f"c{number}", providers) for number in range(2))
    names = [combo.name for combo in combos] * 3 + [f"{provider.id}/m" for provider in providers]
    limit = s.Limit(
        id="shared", name="shared", requests_per_minute=chance.choice((0, 12)), budget=_budget(chance, 20_000_000)
    )
    keys = (
        s.KeyPolicy(id="free", name="free"),
        s.KeyPolicy(
            id="poor",
            name="poor",
            requests_per_minute=chance.choice((0, 6, 10)),
            budget=_budget(chance, chance.choice((3_000_000, 8_000_000, 30_000_000))),
        ),
        s.KeyPolicy(id="sharing", name="sharing", limits=("shared",), budget=_budget(chance, 40_000_000)),
    )
    snapshot = s.Snapshot(
        revision=1,
        created=0,
        server=s.Server(),
        providers=providers,
        combos=combos,
        keys=keys,
        limits=(limit,),
        routing=_routing(chance),
    )
    snapshot = _hedged(snapshot, Random(f"hedges {seed}"))
    return World(
        epoch_ms=EPOCH + chance.choice((9 * 3_600_000, -60_000, -5_000)),  # some runs begin shortly before midnight
        snapshot=snapshot,
        moods=moods,
        troubles=_troubles(chance),
        dies=(chance.randrange(ROUTERS), chance.uniform(5.0, LASTS)) if chance.random() < 0.4 else None,
        wanted=tuple(_wanted(chance, number, names) for number in range(chance.randint(15, 40))),
    )


def _hedged(snapshot: s.Snapshot, chance: Random) -> s.Snapshot:
    """Half of them ask a second besides a slow first, somewhere."""
    if chance.random() < 0.5:
        return snapshot
    combos = tuple(
        msgspec.structs.replace(combo, hedge=chance.choice((None, None, s.Hedge(), _hedge(chance))))
        for combo in snapshot.combos
    )
    routing = msgspec.structs.replace(snapshot.routing, hedge=_hedge(chance))
    return msgspec.structs.replace(snapshot, combos=combos, routing=routing)


def _hedge(chance: Random) -> s.Hedge:
    after = chance.choice((0.05, 0.3, 1.0, 3.0))
    return s.Hedge(after=after, most_extra=chance.choice((10, 100, 100)))


def _provider(chance: Random, name: str) -> s.Provider:
    accounts = tuple(
        s.Account(
            id=f"{name}/a{number}",
            name=f"a{number}",
            secret_version="1",
            weight=chance.randint(1, 3),
            rate_limit=_rate_limit(chance) if chance.random() < 0.15 else s.RateLimit(),
        )
        for number in range(chance.choice((1, 1, 2, 3)))
    )
    return s.Provider(
        id=name,
        format=chance.choice((CHAT, MESSAGES)),
        base_url=f"http://{name}.example",
        accounts=accounts,
        models=(s.Model(id="m", price=PRICE, max_output=chance.choice((0, 100))),),
        strategy=chance.choice(s.STRATEGIES),
        sticky=chance.choice((1, 1, 3)),
        resumes=chance.choice(s.RESUMES),
        rate_limit=_rate_limit(chance) if chance.random() < 0.15 else s.RateLimit(),
    )


def _rate_limit(chance: Random) -> s.RateLimit:
    return s.RateLimit(
        requests_per_minute=chance.choice((0, 3, 20)),
        tokens_per_minute=chance.choice((0, 0, 800)),
        min_gap=chance.choice((0.0, 0.0, 0.3, 2.0)),
        concurrent=chance.choice((0, 1, 3)),
    )


def _moods(chance: Random, steady: bool) -> Moods:
    changes, at = [(0.0, "healthy")], 0.0
    if steady:
        return Moods(changes)
    while at < LASTS + 120.0:
        changes.append((at, chance.choice(MOODS)))
        at += chance.uniform(2.0, 40.0)
    return Moods(changes)


def _combo(chance: Random, name: str, providers: tuple[s.Provider, ...]) -> s.Combo:
    among = chance.sample(providers, chance.randint(2, len(providers)))
    targets = tuple(f"{provider.id}/m" for provider in among)
    return s.Combo(
        name=name,
        strategy=chance.choice(s.STRATEGIES),
        targets=targets,
        sticky=chance.choice((1, 1, 4)),
        weights={target: chance.randint(1, 4) for target in targets if chance.random() < 0.5},
        mid_stream=_mid_stream(chance) if chance.random() < 0.5 else None,
    )


def _mid_stream(chance: Random) -> s.MidStream:
    return s.MidStream(
        hold_tokens=chance.choice((0, 0, 4, 30)),
        hold_seconds=chance.choice((0.0, 0.0, 0.7)),
        resume=chance.random() < 0.6,
    )


def _budget(chance: Random, nano_usd: int) -> s.Budget:
    return s.Budget(nano_usd=nano_usd, window=chance.choice(("day", "month", "total")))


def _routing(chance: Random) -> s.Routing:
    breaker = s.BreakerPolicy(
        failures=chance.randint(1, 5),
        window=chance.choice((20, 60)),
        open_for=chance.randint(3, 30),
        limited_for=chance.randint(1, 4),
        limited_longest=20,
        refused_for=chance.randint(5, 30),
        refused_longest=60,
        told_longest=30,
    )
    return s.Routing(
        retries=chance.randint(0, 2),
        breaker=breaker if chance.random() < 0.9 else None,
        default_max_output=MOST_OUTPUT,
        timeouts=TIMEOUTS,
        mid_stream=_mid_stream(chance),
        queue=chance.choice(
            (None, s.Queue(longest=2.0, patience=0.0), s.Queue(), s.Queue(longest=LONGEST_WAIT, patience=3.0))
        ),
        retry_budget=chance.choice((None, s.RetryBudget(), s.RetryBudget(percent=0, least=1))),
        learns_rates=chance.random() < 0.8,
    )


def _troubles(chance: Random) -> tuple[Trouble, ...]:
    """Three runs in ten have none: in them nothing excuses a request that fails."""
    if chance.random() < 0.3:
        return (Trouble(),) * ROUTERS
    away = [(start, start + chance.uniform(0.5, 6.0)) for start in _times(chance, chance.choice((0, 1, 2)))]
    return tuple(
        Trouble(
            lost=chance.choice((0.0, 0.02, 0.1)),
            unanswered=chance.choice((0.0, 0.02, 0.1)),
            late=chance.choice((0.0, 0.01, 0.05)),
            silent=chance.choice((0.0, 0.01, 0.03)),
            delay=chance.choice((0.01, 0.05, 0.4)),
            outages=(*away, *((start, start + chance.uniform(0.2, 4.0)) for start in _times(chance, 1))),
        )
        for _ in range(ROUTERS)
    )


def _times(chance: Random, count: int) -> list[float]:
    return sorted(chance.uniform(0.0, LASTS) for _ in range(count))


def _wanted(chance: Random, number: int, names: list[str]) -> Wanted:
    more: dict[str, Any] = {"leaves": chance.uniform(0.0, 6.0)} if chance.random() < 0.15 else {"leaves": 0.0}
    return Wanted(
        number=number,
        at=chance.uniform(0.0, LASTS) if chance.random() < 0.7 else chance.choice((10.0, 40.0, 41.0, 80.0)),
        router=chance.randrange(ROUTERS),
        key=chance.choice(("free", "free", "poor", "sharing")),
        model=chance.choice(names),
        dialect=chance.choice((CHAT, MESSAGES)),
        stream=chance.random() < 0.7,
        words=chance.randint(1, 30),
        limit=chance.choice((0, 0, 12, 150)),
        politely=chance.random() < 0.5,
        **more,
    )
