"""One seed, from its first request to the last reservation that is reaped."""

import asyncio
import contextlib
from random import Random
from typing import Any
from unittest import mock

import msgspec
import omni_ledger.ledger
from omni_core import ids
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_core.telemetry import new_registry
from omni_ledger import Ledger
from omni_router.adapters.events import ProtobufEvents
from omni_router.service.credentials import Credentials
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.router import RouterService
from omni_router.service.turns import Turns
from omni_router.settings import RouterSettings
from omni_wire.errors import GatewayError
from omniroute_proto.events.v1 import events_pb2

from tests.simulation import providers as double
from tests.simulation import speech, virtual
from tests.simulation.auditor import Auditor
from tests.simulation.judge import Story, judge, longest
from tests.simulation.providers import Providers
from tests.simulation.store import Line, Store, Trace, Trouble
from tests.simulation.verdicts import Verdicts
from tests.simulation.world import ROUTERS, Wanted, World, world
from tests.support.ledger_model import Model
from tests.support.router import translator

REAPED_EVERY = 5.0
# A hold outlives its attempt's longest silence by the margin; renewed once more at its end, it is over by then.
ALL_REAPED = 120.0


class Report(msgspec.Struct):
    """``broken`` are (law, what does not hold). ``digest`` is the same for the same seed."""

    seed: int
    checked: dict[str, int]
    broken: list[tuple[str, str]]
    figures: dict[str, int]
    digest: str


def simulate(seed: int, model: type[Model] = Model, providers: type[Providers] = Providers) -> Report:
    """``model`` and ``providers`` are for tests that break something on purpose."""
    made = world(seed)
    with mock.patch.object(omni_ledger.ledger, "ScriptConnection", lambda line, script: line):
        try:
            return virtual.run(lambda: _Simulation(seed, made, model(), providers).run(), seed, made.epoch_ms)
        except Exception as error:  # noqa: BLE001 — a seed that cannot be run is a finding, and not the end of all
            return Report(seed, {"ends": 1}, [("ends", f"the simulation itself fails with {error!r}")], {}, "")


def replay(seed: int) -> str:
    """How to see it again."""
    return f"make simulate SEED={seed} N=1"


class _Router:
    """``dies`` is when it is killed, if it is."""

    def __init__(self, number: int, line: Line, auth: double.Credentials, upstream: Providers) -> None:
        self.id, self.line, self.dead = f"router-{number}", line, False
        registry = new_registry()
        self.ledger = Ledger(line, registry)  # type: ignore[arg-type]
        tools = Tools(
            ledger=self.ledger,
            translator=translator(),
            upstream=upstream,
            credentials=Credentials(auth, 60.0),  # type: ignore[arg-type]
            events=ProtobufEvents(),
            settings=RouterSettings(),
            router_id=self.id,
            turns=Turns(self.ledger, self.id, None),
        )
        self.service = RouterService(tools, RouterMetrics(registry))
        self.asking: set[asyncio.Task[Any]] = set()

    async def die(self) -> None:
        """At once, with all that it was at; nothing that it would still say is heard."""
        self.dead = self.line.cut = True
        for task in sorted(self.asking, key=lambda task: task.get_name()):
            task.cancel()
        await asyncio.sleep(0.01)
        await self.ledger._batcher.stop()


class _Simulation:
    def __init__(self, seed: int, made: World, model: Model, providers: type[Providers]) -> None:
        self._seed, self._world, self._verdicts, self._trace = seed, made, Verdicts(), Trace()
        self._model = model
        self._auditor = Auditor(self._model, self._verdicts, made.caps)
        self._store = Store(self._model, self._auditor, made.epoch_ms, self._trace)
        formats = {provider.id: provider.format for provider in made.snapshot.providers}
        self._providers = providers(formats, made.moods, Random(f"words {seed}"), self._auditor, self._trace)
        auth = self._auth = double.Credentials(Random(f"auth {seed}"))
        self._routers = [
            _Router(
                number,
                Line(self._store, made.troubles[number], Random(f"line {number} of {seed}")),
                auth,
                self._providers,
            )
            for number in range(ROUTERS)
        ]
        self._stories: list[Story] = []

    async def run(self) -> Report:
        for router in self._routers:
            await router.ledger.start()
            router.service.configure(self._world.snapshot)
        reaper = asyncio.create_task(self._reap())
        clients = [
            asyncio.create_task(self._client(wanted), name=f"{wanted.number:03}") for wanted in self._world.wanted
        ]
        if self._world.dies is not None:
            number, at = self._world.dies
            await asyncio.sleep(at)
            await self._routers[number].die()
            self._auditor.router_died(self._routers[number].id)
        await asyncio.gather(*clients, return_exceptions=True)
        for router in self._routers:
            router.line.trouble = Trouble()
            if not router.dead:
                self._verdicts.check("ends", await router.ledger.flush(60.0), router.id, "cannot settle")
                await router.ledger.stop()
        await asyncio.sleep(ALL_REAPED)
        reaper.cancel()
        self._store.reap()
        self._auditor.close_books()
        events = [events_pb2.Event.FromString(event) for event in self._model.outbox]
        judge(self._world, self._stories, self._auditor, self._providers, events, self._verdicts, self._auth.away)
        return self._report(events)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(REAPED_EVERY)
            self._store.reap()

    async def _client(self, wanted: Wanted) -> None:
        await asyncio.sleep(wanted.at)
        router = self._routers[wanted.router]
        if router.dead:
            router = next(router for router in self._routers if not router.dead)
        loop = asyncio.get_running_loop()
        story = Story(wanted=wanted, event_id=ids.new_id(), line=router.line, began=loop.time())
        self._stories.append(story)
        asking = asyncio.create_task(self._ask(router, story), name=f"{wanted.number:03}")
        router.asking.add(asking)
        if wanted.leaves and not wanted.politely:
            loop.call_later(wanted.leaves, asking.cancel)
        done, _ = await asyncio.wait({asking}, timeout=longest(self._world, wanted))
        story.ended, story.lost = loop.time(), router.dead
        self._verdicts.check(
            "ends", bool(done), self._named(story), "has not ended in", longest(self._world, wanted), "s"
        )
        if not done:
            asking.cancel()
            await asyncio.wait({asking})
        router.asking.discard(asking)
        said = None if asking.cancelled() else asking.exception()
        story.left = asking.cancelled() or story.left
        story.error = said if isinstance(said, GatewayError) else None
        fine = said is None or isinstance(said, GatewayError)
        self._verdicts.check("ends", fine, self._named(story), "ends in", repr(said))
        self._trace.add("end", story.ended, wanted.number, story.left, repr(said), bytes(story.data))

    async def _ask(self, router: _Router, story: Story) -> None:
        wanted, loop = story.wanted, asyncio.get_running_loop()
        body = speech.ask_for(wanted.words, wanted.dialect, wanted.model, wanted.stream, wanted.limit)
        call = CompleteCall(CallContext(story.event_id), wanted.key, wanted.dialect, body, story.event_id)
        async with contextlib.aclosing(router.service.complete(call)) as frames:
            async for frame in frames:
                if isinstance(frame, Head):
                    story.headed, story.relayed = True, frame.passthrough
                else:
                    story.data += frame
                if wanted.politely and wanted.leaves and loop.time() - story.began > wanted.leaves:
                    story.left = True
                    return

    def _named(self, story: Story) -> str:
        return f"request {story.wanted.number} ({story.event_id}, {story.wanted.model})"

    def _report(self, events: list[events_pb2.Event]) -> Report:
        attempts = self._auditor.attempts.values()
        figures = {
            "requests": len(self._stories),
            "answered": sum(story.answered for story in self._stories),
            "left": sum(story.left for story in self._stories),
            "attempts": len(attempts),
            "calls": len(self._providers.bills),
            "reaped": sum(attempt.reaped for attempt in attempts),
            "probes": self._auditor.probes,
            "opened": self._auditor.opened,
            "resumed": sum(story.resumed for story in self._stories),
            "unsent": sum(not attempt.called and attempt.settled for attempt in attempts),
            "outrun": sum(event.attempt.error_kind == "outrun" for event in events),
            "troubled": sum(len(router.line.troubled) for router in self._routers),
        }
        verdicts = self._verdicts
        return Report(self._seed, dict(verdicts.checked), verdicts.broken, figures, self._trace.digest)
