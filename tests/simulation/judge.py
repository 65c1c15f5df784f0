"""Of a run that is over: whether what each client saw, what was written down and what providers billed agree."""

from collections import defaultdict

import msgspec
from omni_catalogue import snapshot as s
from omni_wire.errors import GatewayError
from omniroute_proto.events.v1 import events_pb2

from tests.simulation.auditor import Auditor
from tests.simulation.providers import Providers
from tests.simulation.speech import CHAT, Heard, hear, text_of
from tests.simulation.store import Line
from tests.simulation.verdicts import Verdicts
from tests.simulation.world import LONGEST_WAIT, TIMEOUTS, Wanted, World

ADMITTED_WITHIN = 2.0
EVENTS_AT_MOST = 120  # of one stream

# Errors that the ledger gives, with what it refuses.
_REFUSALS = {
    "rate_limited": "rate_limited",
    "budget_held": "budget_held",
    "budget_exhausted": "budget_exhausted",
}


class Story(msgspec.Struct):
    """What became of a request, by what its client saw. ``lost`` is one whose router was killed under it."""

    wanted: Wanted
    event_id: str
    line: Line
    began: float
    ended: float = 0.0
    headed: bool = False
    relayed: bool = False  # its provider's own bytes
    left: bool = False
    lost: bool = False
    error: GatewayError | None = None
    data: bytearray = msgspec.field(default_factory=bytearray)
    resumed: bool = False

    @property
    def answered(self) -> bool:
        return self.headed and self.error is None and not (self.left or self.lost)


def longest(world: World, wanted: Wanted) -> float:
    """Seconds that a request may take: each candidate as often as it may be tried, to the end of its patience."""
    accounts = {provider.id: len(provider.accounts) for provider in world.snapshot.providers}
    offers = sum(accounts[target.partition("/")[0]] for target in world.offers(wanted.model)) + 1
    tries = world.snapshot.routing.retries + 1
    answer = TIMEOUTS.first_byte + EVENTS_AT_MOST * TIMEOUTS.idle if wanted.stream else TIMEOUTS.total
    ledger = 3 * ADMITTED_WITHIN  # a choice among targets, one among accounts, an admission
    return offers * (ledger + tries * (ADMITTED_WITHIN + 2.0 + answer + 1.0)) + 2 * LONGEST_WAIT


def judge(
    world: World,
    stories: list[Story],
    auditor: Auditor,
    providers: Providers,
    events: list[events_pb2.Event],
    verdicts: Verdicts,
    away: list[float],
) -> None:
    """``away`` is when auth could not be reached."""
    attempts: dict[str, list[events_pb2.AttemptEvent]] = defaultdict(list)
    requests: dict[str, list[events_pb2.RequestEvent]] = defaultdict(list)
    for event in _distinct(events):
        if event.HasField("attempt"):
            if event.attempt.seq:
                attempts[event.attempt.request_id].append(event.attempt)
        elif event.request.seq:
            requests[event.request.id].append(event.request)
    for story in stories:
        judged = _Judged(world, story, auditor, providers, verdicts, away)
        judged.events(attempts[story.event_id], requests[story.event_id])
        if story.lost:
            continue
        judged.text()
        if not story.left:
            judged.answer()
    for bill in providers.bills:
        settled = auditor.attempts.get(bill.attempt)
        verdicts.check("calls", settled is not None, bill, "has no attempt")


def _distinct(events: list[events_pb2.Event]) -> list[events_pb2.Event]:
    """A settlement without a reservation may be written twice, word for word: who reads it tells by its id."""
    found = {event.SerializeToString(deterministic=True): event for event in events}
    return list(found.values())


class _Judged:
    def __init__(
        self,
        world: World,
        story: Story,
        auditor: Auditor,
        providers: Providers,
        verdicts: Verdicts,
        away: list[float],
    ) -> None:
        self._world, self._story, self._auditor, self._verdicts = world, story, auditor, verdicts
        self._away = away
        self._bills = {bill.attempt: bill for bill in providers.bills}
        self._mine = [
            attempt for attempt in auditor.attempts.values() if auditor.requests.get(attempt.id) == story.event_id
        ]
        self._refused = {
            reason
            for attempt, of in auditor.requests.items()
            if of == story.event_id
            for reason in auditor.refused[attempt]
        }

    def _check(self, law: str, holds: bool, *said: object) -> None:
        story = self._story
        name = f"request {story.wanted.number} ({story.event_id}, {story.wanted.model})"
        self._verdicts.check(law, holds, name, *said)

    # ---- what was written -------------------------------------------------------------------------------------------

    def events(self, attempts: list[events_pb2.AttemptEvent], requests: list[events_pb2.RequestEvent]) -> None:
        story, dead = self._story, self._story.line.cut  # and what was to be settled died with it
        self._check("events", len(requests) == 1 or (dead and not requests), "has", len(requests), "final events")
        for attempt in attempts:
            self._attempt(attempt)
        # What was reaped before it was known that no call was made for it.
        attempts = [attempt for attempt in attempts if attempt.outcome != "aborted"]
        ids = [attempt.id for attempt in attempts]
        self._check("events", len(set(ids)) == len(ids), "has attempts with two final events")
        if dead or not requests:
            return
        (request,) = requests
        outcome = (
            "cancelled" if story.left else "ok" if story.error is None else "partial" if story.headed else "failed"
        )
        # Who leaves when all was said already, has not left.
        told = request.outcome == outcome or (story.left and request.outcome in ("ok", "failed", "partial"))
        self._check("events", told, "is written as", request.outcome, "and was", outcome)
        kind = story.error.kind if story.error is not None else ""
        self._check("events", story.left or request.error_kind == kind, request.error_kind, "instead of", kind)
        self._check("events", request.attempts == len(attempts), request.attempts, "attempts,", len(attempts), "events")
        cost = sum(attempt.cost_nano_usd for attempt in attempts)
        self._check("events", request.cost_nano_usd == cost, "costs", request.cost_nano_usd, "and its attempts", cost)
        called = sum(attempt.called for attempt in self._mine)
        self._check("events", called == len(attempts), called, "calls were made, and", len(attempts), "told")
        self._story.resumed = [attempt.outcome for attempt in attempts].count("partial") > (outcome == "partial")

    def _attempt(self, event: events_pb2.AttemptEvent) -> None:
        kept, bill = self._auditor.attempts.get(event.id), self._bills.get(event.id)
        self._check("attempts", kept is not None, event.id, "was never granted")
        if kept is not None:
            self._check("attempts", kept.cost == event.cost_nano_usd, event.id, "cost", kept.cost, event.cost_nano_usd)
        reaped = event.outcome == "aborted" and kept is not None and kept.reaped
        self._check("unsent", bill is not None or reaped, event.id, "was never called, told as", event.outcome)
        if bill is None:
            self._check("attempts", event.cost_nano_usd == 0, event.id, "was never called and costs something")
        elif event.error_kind == "outrun" and not bill.status:
            estimated = event.usage.estimated and event.cost_nano_usd > 0
            self._check("attempts", estimated, event.id, "was let go and costs nothing")
        elif event.outcome == "ok" and not event.usage.estimated:
            used, billed = (event.usage.input_tokens, event.usage.output_tokens), (bill.input, bill.output)
            self._check("attempts", used == billed, event.id, "used", used, "and was billed", billed)
        elif bill.status != 200 and bill.status:
            self._check("attempts", event.cost_nano_usd == 0, event.id, "was refused with", bill.status, "and costs")

    # ---- what the client saw ----------------------------------------------------------------------------------------

    def text(self) -> None:
        story, wanted = self._story, self._story.wanted
        if not story.headed or (not wanted.stream and not story.data):
            return
        heard = hear(wanted.dialect, wanted.stream, bytes(story.data))
        text = text_of(wanted.words)
        if heard.garbled:  # what a provider of the client's own dialect says is not put right
            moods = [self._bills[attempt.id].mood for attempt in self._mine if attempt.id in self._bills]
            garbled = story.relayed and any(mood.startswith("garbled") for mood in moods)
            self._check("text", garbled, "reads what is no JSON of", moods)
            return
        self._check("text", text.startswith(heard.text), "reads", repr(heard.text))
        self._check("text", not heard.faults, heard.faults)
        if story.error is not None:
            self._check("text", heard.ends == 0, "breaks off after its end")
        elif not story.left:
            self._check("text", heard.ends == 1 and bool(heard.finish), "ends", heard.ends, "times", heard.finish)
            begun = heard.begins == 1 or wanted.dialect is CHAT
            self._check("text", begun, "begins", heard.begins, "times")
            self._check("text", heard.finish == "length" or heard.text == text, "is not whole:", repr(heard.text))

    def answer(self) -> None:
        """Errors there may be only for a reason."""
        story = self._story
        if story.error is None:
            self._check("ends", story.headed and bool(story.data), "ended in nothing")
            return
        kind = story.error.kind
        self._check("ends", kind != "internal", "ended in", repr(story.error), repr(story.error.__cause__))
        if kind in _REFUSALS:
            self._check("starvation", _REFUSALS[kind] in self._refused, "is told", kind, "which the ledger never said")
        elif kind == "dependency_unavailable":
            self._check("starvation", self._troubled(), "is told that the ledger is away, which it is not")
        elif not story.headed:
            fits = self._unheard() or not self._well()
            self._check("starvation", fits, "fails with", repr(story.error), "though well are", self._well())
        elif self._resumes() and not (self._troubled() or self._unheard()) and not self._refused and self._text():
            self._check(
                "starvation", not self._well(True), "breaks off", repr(story.error), "though well are", self._well()
            )

    def _troubled(self) -> bool:
        """Whether the router's ledger was, as of late."""
        story = self._story
        return any(story.began - 4.0 <= at <= story.ended for at in story.line.troubled)

    def _unheard(self) -> bool:
        """Whether auth was asked in vain, as of late."""
        return any(self._story.began - 2.0 <= at <= self._story.ended for at in self._away)

    def _well(self, to_go_on: bool = False) -> list[str]:
        """Its targets whose accounts all were well, all the time, took whatever came, and which nothing else makes
        unfit."""
        providers = {provider.id: provider for provider in self._world.snapshot.providers}
        found = []
        for target in self._world.offers(self._story.wanted.model):
            provider = providers[target.partition("/")[0]]
            steady = all(self._world.moods[account.id].steady for account in provider.accounts)
            free = all(each.rate_limit == s.RateLimit() for each in (provider, *provider.accounts))
            if steady and free and not (to_go_on and provider.resumes == "off"):
                found.append(target)
        return found

    def _resumes(self) -> bool:
        combo = next((each for each in self._world.snapshot.combos if each.name == self._story.wanted.model), None)
        routing: s.MidStream = self._world.snapshot.routing.mid_stream
        return combo is not None and (combo.mid_stream or routing).resume

    def _text(self) -> str:
        heard: Heard = hear(self._story.wanted.dialect, True, bytes(self._story.data))
        text = heard.text.strip()
        return text if len(text) >= 4 else ""  # of less nobody can tell what is said again, so it is not gone on with
