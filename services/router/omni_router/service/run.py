"""What has become of one request so far."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from omni_core import clock
from omni_core.ports.router import TRACE, CompleteCall, Head
from omni_ledger import Refusal
from omni_wire.errors import ClientGone, GatewayError
from omni_wire.usage import Usage

from omni_router.domain import decision
from omni_router.domain.decision import Decision, Ordered
from omni_router.domain.offer import Offer
from omni_router.domain.records import RequestRecord, Source
from omni_router.domain.request import Request
from omni_router.domain.walk import Walk
from omni_router.service import ruling
from omni_router.service.attempt import Attempt
from omni_router.service.choosing import Line
from omni_router.service.held import Asked, Tools
from omni_router.service.refusing import skip_of
from omni_router.service.watch import Watch

if TYPE_CHECKING:
    from omni_router.service.gathering import Gathering
    from omni_router.service.hedging import Race


class Run:
    """``attempts`` come in the order in which they ended; the last may be under way, or two of them."""

    def __init__(self, call: CompleteCall, router_id: str) -> None:
        self.call = call
        self.request: Request | None = None
        self.combo = ""
        self.revision = 0
        self.tags: tuple[str, ...] = ()  # its key's and its own
        self.offers: tuple[Offer, ...] = ()
        self.counted = call.attempt > 0  # against the key's requests per minute, by the router that was asked first
        self.attempts: list[Attempt] = []
        self.watch: Watch | None = None
        self.line: Line | None = None
        self.orders: Sequence[Ordered] = ()
        self.walk = Walk()
        self.asked: Asked | None = None
        self.as_listed: Iterator[Offer] = iter(())
        self.resumable = False
        self.overhead_us = 0  # our own, before the provider was asked that answered
        self.queued = 0.0  # seconds of waiting for a turn
        self.written = 0  # tokens that the client has of attempts that broke off
        self.served: Attempt | None = None  # whose first byte was the client's first
        self.again: list[Offer] = []  # given by ``next``, and to be given by it once more
        self.gathering: Gathering | None = None  # where what it says is kept
        self.race: Race | None = None  # where a second may be asked besides the first
        self._router_id = router_id
        self.started_ms = clock.now_ms()
        self.began = clock.monotonic()

    async def next(self) -> Offer | None:
        """The next candidate."""
        if self.again:
            return self.again.pop()
        return next(self.as_listed, None) if self.line is None else await self.line.next()

    def attempt(self, tools: Tools, asked: Asked, offer: Offer) -> Attempt:
        if self.gathering is not None:
            tools = self.gathering.tools(tools, offer, self.combo)
        return Attempt(tools, asked, offer) if self.watch is None else self.watch.attempt(tools, asked, offer)

    async def open(self, attempt: Attempt) -> Head:
        """Raises a ``GatewayError``."""
        return await (attempt.open() if self.line is None else self.line.open(attempt))

    def passed_over(self, offer: Offer, refusal: Refusal) -> bool:
        """Whether it is this candidate's own matter, and the next is to be asked."""
        skip = skip_of(offer, refusal)
        if skip is None:
            return False
        self.walk.skipped(skip)
        if self.line is not None and refusal.reason == "breaker_open":
            self.line.cools(refusal.circuit, refusal.retry_after)
        return True

    def failed(self, attempt: Attempt, error: GatewayError) -> None:
        """Its usage is counted now, as it is settled before the next: its start was held back, or it told."""
        error.message = attempt.unsaid(error.message)
        attempt.failure = error
        attempt.count_usage()
        self.walk.failed(attempt.offer, error, attempt.elapsed_ms())

    def waited(self, seconds: float) -> None:
        """For its turn."""
        self.queued += seconds
        if self.watch is not None:
            self.watch.add("queue", seconds)

    def watched_by(self, watch: Watch) -> None:
        self.watch, self.call = watch, watch.call

    def headed(self, head: Head) -> Head:
        """``head``, with the time before its attempt told apart."""
        if len(self.attempts) == 1 and not self.queued:
            return head
        before, admit = head.stages[0], head.stages[3:]
        queue = min(before, int(self.queued * 1e6))
        plan = min(before - queue, int((min(attempt.began for attempt in self.attempts) - self.began) * 1e6))
        return msgspec.structs.replace(head, stages=(plan, queue, before - queue - plan, *admit))

    def record(self, error: GatewayError | None) -> RequestRecord:
        last = self.attempts[-1] if self.attempts else None
        usage = last.usage if last is not None else Usage()
        for attempt in self.attempts[:-1]:
            usage = usage.plus(attempt.usage)
        served = self.served
        outcome = _outcome(error, served is not None)
        request, call = self.request, self.call
        if last is not None:
            source = last.offer.source
        else:
            model = request.model if request is not None else ""
            source = Source(
                key_id=call.key_id,
                model_requested=model,
                combo=self.combo,
                config_revision=self.revision,
                router_id=self._router_id,
            )
        return RequestRecord(
            call.event_id,
            call.context.request_id,
            1 + call.attempt,
            self.started_ms,
            int((clock.monotonic() - self.began) * 1000),
            served.since_request(self.began) if served is not None else -1,
            source,
            call.client_format.value,
            request is not None and request.stream,
            _status(error, served is not None, request),
            error.kind if error is not None else "",
            sum(not each.would_be_unmade for each in self.attempts),
            usage,
            sum([attempt.cost for attempt in self.attempts]),
            outcome,
            last.losses if last is not None else (),
            self.watch.traceparent if self.watch is not None else "",
            decision.encode(self.decide())
            if self.walk.trail or (self.orders and self.attempts) or (last is not None and last.findings)
            else b"",
            self.tags,
            self.overhead_us,
        )

    def decide(self) -> Decision:
        request = self.request
        return decision.decide(
            model=request.model if request is not None else "",
            combo=self.combo,
            revision=self.revision,
            router=self._router_id,
            candidates=len(self.offers),
            orders=self.orders,
            trail=self.walk.trail,
            tried=self.attempts,
            guard=ruling.counted(self.attempts[-1].findings) if self.attempts else (),
        )

    def trace(self) -> str:
        """For a client that asked for it."""
        return decision.trace(self.decide()) if self.call.headers[TRACE].lower() == "on" else ""


def _status(error: GatewayError | None, served: bool, request: Request | None) -> int:
    if error is None:
        return 200
    if isinstance(error, ClientGone):
        return error.status
    return 200 if served and request is not None and request.stream else error.status


def _outcome(error: GatewayError | None, served: bool) -> str:
    if error is None:
        return "ok"
    if isinstance(error, ClientGone):
        return "cancelled"
    return "partial" if served else "failed"
