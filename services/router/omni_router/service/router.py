"""The story of one request: who asks, what for, where it can go; try in order; answer; settle; write it down."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from math import ceil

from omni_catalogue.catalogue import Candidate, Catalogue, Plan
from omni_catalogue.snapshot import Budget, KeyPolicy, Snapshot
from omni_core import clock
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, Head, ModelEntry
from omni_core.telemetry import about
from omni_core.tracing import sampled
from omni_ledger import Refusal, Settlement
from omni_wire.errors import (
    BudgetExhausted,
    BudgetHeld,
    ClientGone,
    DependencyUnavailable,
    GatewayError,
    Internal,
    InvalidRequest,
    NoCandidate,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_router.domain import bounds, records, verdict
from omni_router.domain.pricing import BILLED_APART, OTHER_MODELS, Pricing, beyond_bounds, pricing_for
from omni_router.domain.records import RequestRecord
from omni_router.domain.request import Request, read, read_model
from omni_router.service import counting
from omni_router.service.attempt import Asked, Attempt, Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.watch import EVERY, Watch

log = logging.getLogger("omniroute.router")


class RouterService:
    """``RouterPort``. Holds the catalogue of the newest snapshot and nothing else a second router would miss."""

    def __init__(self, tools: Tools, metrics: RouterMetrics) -> None:
        self._tools = tools
        self._metrics = metrics
        self._catalogue: Catalogue | None = None
        self._changed = asyncio.Event()
        self._taken = 0

    def prepare(self, snapshot: Snapshot) -> Callable[[], None]:
        """What takes a newer snapshot into use; requests already under way keep the one they began with.

        Raises ``WireError`` for one that cannot be used.
        """
        catalogue = Catalogue(snapshot)

        def switch() -> None:
            self._catalogue = catalogue
            self._changed.set()
            self._changed = asyncio.Event()

        return switch

    def configure(self, snapshot: Snapshot) -> None:
        """``prepare``, and use it."""
        self.prepare(snapshot)()

    @property
    def revision(self) -> int:
        return self._catalogue.snapshot.revision if self._catalogue is not None else 0

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        policy, catalogue = await self._policy(key_id)
        created = catalogue.snapshot.created
        return [
            ModelEntry(entry.id, entry.owned_by, created, entry.context, entry.max_output)
            for entry in catalogue.listed(policy)
        ]

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        policy, catalogue = await self._policy(key_id)
        opened, model = read_model(client_format, body, model)
        _may_ask(catalogue, policy, model)
        plan, timeouts = catalogue.plan(model), catalogue.snapshot.routing.timeouts
        return await counting.count(self._tools, context, plan, client_format, opened, headers, timeouts)

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        run = _Run(call, self._tools.router_id)
        self._taken += 1
        measured, tracer = not self._taken % EVERY, self._tools.tracer
        if measured or (tracer is not None and sampled(call.context.traceparent)):
            run.watched_by(Watch(call, self._metrics if measured else None, tracer))
        error: GatewayError | None = None
        self._metrics.active += 1
        try:
            head = await self._begin(run)
            yield head
            attempt = run.attempts[-1]
            if not head.stream:
                yield attempt.whole
            else:
                async for data in attempt.frames():
                    yield data
        except GatewayError as failure:
            error = failure
            raise
        except (GeneratorExit, asyncio.CancelledError):
            error = ClientGone("the client went away")
            raise
        except Exception as failure:
            error = Internal("something went wrong inside the gateway")
            raise error from failure
        finally:
            self._metrics.active -= 1
            self._finish(run, error)
            if run.attempts and run.attempts[-1].translating:
                await run.attempts[-1].close()

    # ---- before the first byte --------------------------------------------------------------------------------------

    async def _begin(self, run: "_Run") -> Head:
        """Answer from the first candidate that gives a first byte. Raises the last candidate's error."""
        call = run.call
        catalogue = self._catalogue
        policy = catalogue.key(call.key_id) if catalogue is not None else None
        if catalogue is None or policy is None:
            policy, catalogue = await self._policy(call.key_id)
        run.revision = catalogue.snapshot.revision
        request = read(call.client_format, call.body, model=call.model, stream=call.stream, framing=call.framing)
        run.request = request
        _may_ask(catalogue, policy, request.model)
        plan = catalogue.plan(request.model)
        run.combo = plan.combo
        refused = BILLED_APART if policy.budget is not None else OTHER_MODELS if policy.models != ("*",) else None
        if refused and (unusual := request.body.pick(refused)) and (field := beyond_bounds(unusual)):
            raise _unbounded(field)
        asked = Asked(call, request, policy, catalogue.snapshot.routing, run.revision)
        if policy.budget is not None:
            plan = _within_tokens(plan, call.client_format, request)
        return await self._first_answer(run, asked, self._affordable(plan, policy.budget))

    def _affordable(self, plan: Plan, budget: Budget | None) -> list[tuple[Candidate, Pricing]]:
        """The plan without what the key's budget refuses for want of a price."""
        affordable = [
            (candidate, price)
            for candidate in plan.candidates
            if (price := pricing_for(candidate.model, budget)) is not None
        ]
        if not affordable:
            raise BudgetExhausted(
                f"{plan.requested!r} has no price, and this key has a USD budget: give the model a price, "
                "or the budget `unpriced: serve`",
                code="model_unpriced",
            )
        return affordable

    async def _first_answer(self, run: "_Run", asked: Asked, candidates: list[tuple[Candidate, Pricing]]) -> Head:
        error: GatewayError | None = None
        make: Callable[[Tools, Asked, Candidate, Pricing], Attempt] = Attempt
        if run.watch is not None:
            run.watch.planned()
            make = run.watch.attempt
        cooling: list[float] = []
        refused: Candidate | None = None
        for candidate, price in candidates:
            if refused is not None and _same_model(refused, candidate):
                continue
            for attempt_number in range(1 + asked.routing.retries):
                if attempt_number:
                    await asyncio.sleep(
                        self._tools.settings.retry_pause * 2 ** (attempt_number - 1) * (0.5 + random.random())
                    )
                if run.attempts and error is not None:  # before the next hold, so that a budget carries one at a time
                    run.attempts[-1].settle("failed", error, verdict.breaker_evidence(error))
                attempt = make(self._tools, asked, candidate, price)
                refusal = await attempt.admit(not run.counted, len(run.attempts) + 1, run.combo, run.started_ms)
                if refusal is not None:
                    if refusal.reason != "breaker_open":
                        raise _refused(refusal)
                    cooling.append(refusal.retry_after)
                    break
                run.counted = True
                run.attempts.append(attempt)
                try:
                    return await attempt.open()
                except GatewayError as failure:
                    error = failure
                if not verdict.same_account_may_help(error):
                    break
            if error is not None and not verdict.other_candidate_may_help(error):
                raise error
            refused = candidate if error is not None and not verdict.other_account_may_help(error) else None
        if error is not None:
            raise error
        wait = min(cooling, default=1.0)
        raise NoCandidate(
            f"every account for {asked.request.model!r} is cooling down after failures; try again in {ceil(wait)} s",
            retry_after=wait,
        )

    async def _policy(self, key_id: str) -> tuple[KeyPolicy, Catalogue]:
        """The key's policy and the catalogue it is in. A key just made may be known to the edge before the snapshot
        that carries it arrives here, so an unknown one is waited for briefly."""
        deadline = clock.monotonic() + self._tools.settings.new_key_wait
        while True:
            catalogue = self._catalogue
            policy = catalogue.key(key_id) if catalogue is not None else None
            if catalogue is not None and policy is not None:
                return policy, catalogue
            try:
                async with asyncio.timeout(deadline - clock.monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                if catalogue is None:
                    raise DependencyUnavailable("the router has no configuration yet", retry_after=1.0) from None
                raise Unauthenticated("this API key is not valid any more") from None

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _finish(self, run: "_Run", error: GatewayError | None) -> None:
        """Settle what is open and write the request down. Nothing here waits, so it also runs when the client left."""
        last = run.attempts[-1] if run.attempts else None
        if last is not None:
            last.count_usage()
        record = run.record(error)
        if last is None or not last.settle(record.outcome, error, verdict.breaker_evidence(error), record):
            self._tools.ledger.settle_soon(_events_only(self._tools.events.request(record), self._tools.router_id))
        self._metrics.observe(record, [attempt.candidate for attempt in run.attempts])
        if run.watch is not None:
            run.watch.finish(record, error)
        if error is not None and not verdict.is_the_clients(error):
            _report(run.call.context, record, error)


def _report(context: CallContext, record: RequestRecord, error: GatewayError) -> None:
    """The one line that a failed request leaves."""
    error.reported = True
    fields: dict[str, object] = {
        "kind": error.kind,
        "outcome": record.outcome,
        "status": error.status,
        "model": record.model_requested,
        "attempts": record.attempts,
        "key": record.key_id,
    }
    if record.provider:
        fields |= {"provider": record.provider, "account": record.account_id}
    if verdict.may_be_quoted(error):
        fields["detail"] = error.message
    cause = error.__cause__ if isinstance(error, Internal) else None
    log.log(
        logging.WARNING if cause is None else logging.ERROR,
        "a request failed",
        exc_info=cause,
        extra=about(context, **fields),
    )


def _events_only(event: bytes, router_id: str) -> Settlement:
    return Settlement(
        attempt_id="",
        account_id="",
        cost_nano_usd=0,
        outcome="neutral",
        breaker=None,
        events=(event,),
        router_id=router_id,
    )


class _Run:
    """What has become of one request so far."""

    def __init__(self, call: CompleteCall, router_id: str) -> None:
        self.call = call
        self.request: Request | None = None
        self.combo = ""
        self.revision = 0
        self.counted = call.attempt > 0  # against the key's requests per minute, by the router that was asked first
        self.attempts: list[Attempt] = []
        self.watch: Watch | None = None
        self._router_id = router_id
        self.started_ms = clock.now_ms()
        self._began = clock.monotonic()

    def watched_by(self, watch: Watch) -> None:
        self.watch, self.call = watch, watch.call

    def record(self, error: GatewayError | None) -> RequestRecord:
        last = self.attempts[-1] if self.attempts else None
        usage = last.usage if last is not None else Usage()
        for attempt in self.attempts[:-1]:
            usage = records.add(usage, attempt.usage)
        served = last is not None and last.first_byte_ms >= 0
        return RequestRecord(
            id=self.call.event_id,
            request_id=self.call.context.request_id,
            seq=1 + self.call.attempt,
            started_ms=self.started_ms,
            duration_ms=int((clock.monotonic() - self._began) * 1000),
            first_byte_ms=last.since_request(self._began) if last is not None and served else -1,
            key_id=self.call.key_id,
            client_format=self.call.client_format,
            model_requested=self.request.model if self.request is not None else "",
            combo=self.combo,
            provider=last.candidate.provider.id if last is not None else "",
            account_id=last.candidate.account.id if last is not None else "",
            model_served=last.candidate.model.id if last is not None else "",
            stream=self.request is not None and self.request.stream,
            status=_status(error, served, self.request),
            error_kind=error.kind if error is not None else "",
            attempts=len(self.attempts),
            usage=usage,
            cost_nano_usd=sum(attempt.cost for attempt in self.attempts),
            pricing=last.pricing.mode if last is not None else "",
            outcome=_outcome(error, served),
            losses=last.losses if last is not None else (),
            config_revision=self.revision,
            router_id=self._router_id,
            traceparent=self.watch.traceparent if self.watch is not None else "",
        )


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


def _may_ask(catalogue: Catalogue, policy: KeyPolicy, model: str) -> None:
    if not catalogue.may_ask(policy, model):
        raise PermissionDenied(f"this key may not use the model {model!r}", param="model", code="model_not_allowed")


def _within_tokens(plan: Plan, client_format: WireFormat, request: Request) -> Plan:
    """The plan without the candidates that would bill something of the request apart from tokens: a budget cannot hold
    that. Raises ``InvalidRequest`` when none is left."""
    found: dict[WireFormat, str] = {}
    for candidate in plan.candidates:
        provider_format = candidate.provider.format
        if provider_format not in found:
            found[provider_format] = bounds.billed_apart(client_format, provider_format, request.body)
    if not any(found.values()):
        return plan
    candidates = tuple(candidate for candidate in plan.candidates if not found[candidate.provider.format])
    if not candidates:
        raise _unbounded(next(filter(None, found.values())))
    return Plan(plan.requested, plan.combo, candidates)


def _unbounded(field: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} makes the provider bill apart from tokens or choose another model, which this key's budget or its "
        "list of models does not allow",
        param=field,
    )


def _same_model(left: Candidate, right: Candidate) -> bool:
    return left.provider.id == right.provider.id and left.model.id == right.model.id


def _refused(refusal: Refusal) -> GatewayError:
    if refusal.reason == "rate_limited":
        return RateLimited(
            f"this key's requests per minute are used up; try again in {ceil(refusal.retry_after)} s",
            retry_after=refusal.retry_after,
        )
    if refusal.reason == "budget_held":
        return BudgetHeld(
            "what is left of this key's USD budget is held by requests in flight; try again shortly",
            retry_after=refusal.retry_after,
        )
    return BudgetExhausted("this key's USD budget is spent")
