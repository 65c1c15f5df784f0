"""The story of one request: who asks, what for, where it can go; try in order; answer; settle; write it down."""

import asyncio
import functools
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping

import msgspec
from omni_catalogue import tags
from omni_catalogue.catalogue import Candidate, Catalogue
from omni_catalogue.snapshot import KeyPolicy, Limit, MidStream, Queue, Snapshot
from omni_core import clock
from omni_core.ports.context import CallContext
from omni_core.ports.router import TRACE, CompleteCall, ConnectionTest, Frame, Head, ModelEntry
from omni_core.telemetry import about
from omni_core.tracing import sampled
from omni_ledger import Settlement
from omni_wire.errors import (
    ClientGone,
    DependencyUnavailable,
    GatewayError,
    Internal,
    InvalidRequest,
    PermissionDenied,
    Unauthenticated,
    UpstreamError,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_router.domain import bounds, explanation, haste, hedge, verdict
from omni_router.domain.explanation import Explanation, Foreseen
from omni_router.domain.offer import Offer
from omni_router.domain.offers import Offers, listed, offers_for
from omni_router.domain.pricing import BILLED_APART, beyond_bounds
from omni_router.domain.records import RequestRecord
from omni_router.domain.request import Request, read, read_model
from omni_router.domain.strategies import Draw
from omni_router.service import counting, ruling, testing
from omni_router.service.choosing import Chooser
from omni_router.service.explaining import Foresight
from omni_router.service.gathering import Gathering
from omni_router.service.hedging import Hedging, Race
from omni_router.service.held import Asked, Begun, Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.refusing import as_error
from omni_router.service.run import Run
from omni_router.service.turns import Turn
from omni_router.service.watch import EVERY, Watch

log = logging.getLogger("omniroute.router")

# Requested ids come from clients, so what is remembered about them is bounded.
_MEMO = 4096
# Bytes of a stream after which nobody goes on with it: to ask for the rest they are all sent again.
_MOST_RESUMED = 1024 * 1024


class _Superseded(Exception):
    """There is another configuration than that under which a request waited for its turn."""


class RouterService:
    """``RouterPort``. Holds the catalogue of the newest snapshot and nothing else a second router would miss. ``draw``
    is where strategies get their chance from, numbers in [0, 1)."""

    def __init__(self, tools: Tools, metrics: RouterMetrics, draw: Draw = random.random) -> None:
        self._tools = tools
        self._metrics = metrics
        self._catalogue: Catalogue | None = None
        # By key, requested id and the limits of further tags; of the catalogue in use.
        self._offers: dict[tuple[str, ...], Offers] = {}
        self._chooser = Chooser(tools.ledger, draw)
        self._hedging = Hedging(self._chooser.standings, metrics)
        self._changed = asyncio.Event()
        self._taken = 0
        self.gatherings: dict[str, Gathering] | None = None  # by event id, of those that are kept; None: nobody's is
        self.told: Callable[[RequestRecord], None] | None = None  # hears of each request that has ended

    def prepare(self, snapshot: Snapshot) -> Callable[[], None]:
        """What takes a newer snapshot into use; requests already under way keep the one they began with.

        Raises ``WireError`` for one that cannot be used.
        """
        catalogue = Catalogue(snapshot)

        def switch() -> None:
            self._catalogue = catalogue
            self._offers = {}
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
            for entry in listed(catalogue, policy, self._tools.router_id)
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
        plan = catalogue.plan_for(policy, model)
        policy, _ = _tagged(catalogue, policy, headers)
        await counting.admit(self._tools, policy, catalogue.limits(policy))

        def guarded(candidate: Candidate) -> bool:
            return catalogue.rules(policy, plan.combo, candidate.provider, candidate.model).keeps_in

        return await counting.count(
            self._tools, context, plan, client_format, opened, headers, catalogue.timeouts, guarded
        )  # fmt: skip

    async def entitled(self, call: CompleteCall) -> tuple[KeyPolicy, tuple[Limit, ...], str]:
        """Whose a request is, with its tags, the limits that it shares, and the model it asks for, where nothing but
        its key's rights remains to be looked at.

        Raises ``Unauthenticated``, ``PermissionDenied``, ``InvalidRequest``.
        """
        policy, catalogue = await self._policy(call.key_id)
        _, model = read_model(call.client_format, call.body, call.model)
        _may_ask(catalogue, policy, model)
        policy, _ = _tagged(catalogue, policy, call.headers)
        return policy, catalogue.limits(policy), model

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        run = Run(call, self._tools.router_id)
        if self.gatherings is not None:
            run.gathering = self.gatherings.get(call.event_id)
        self._taken += 1
        measured, tracer = not self._taken % EVERY, self._tools.tracer
        if measured or (tracer is not None and sampled(call.context.traceparent)):
            run.watched_by(Watch(call, self._metrics if measured else None, tracer))
        error: GatewayError | None = None
        self._metrics.active += 1
        try:
            head = run.headed(await self._begin(run))
            run.served = run.attempts[-1]
            plan, _, _, admit, encode, _ = head.stages
            run.overhead_us = plan + admit + encode
            if TRACE in call.headers:
                head = msgspec.structs.replace(head, trace=run.trace())
            yield head
            if not head.stream:
                yield run.attempts[-1].whole
            elif not run.resumable:
                async for data in run.attempts[-1].frames():
                    yield data
            else:
                async for data in self._to_the_end(run):
                    yield data
        except GatewayError as failure:
            if run.attempts:
                failure.message = run.attempts[-1].unsaid(failure.message)
            if TRACE in call.headers:
                failure.trace = run.trace()
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

    async def explain(self, call: CompleteCall) -> bytes:
        run, chooser = Run(call, self._tools.router_id), self._chooser.dry()
        tools = msgspec.structs.replace(self._tools, ledger=chooser.ledger)
        steps: list[Foreseen] = []
        refused = None
        try:
            asked, offers = await self._plan(run, chooser)
            foresight = Foresight(tools, asked, chooser.standings, self._hedging if run.race is not None else None)
            steps = foresight.steps
            await foresight.look(offers, run.line, run.walk)
        except DependencyUnavailable:
            raise
        except GatewayError as error:
            refused = explanation.refused(error)
        seen = run.decide()
        return msgspec.json.encode(
            Explanation(
                model=seen.model,
                combo=seen.combo,
                revision=seen.revision,
                router=seen.router,
                candidates=seen.candidates,
                orders=seen.orders,
                steps=tuple(steps),
                left_out=max(0, seen.candidates - len(steps)) if refused is None else 0,
                refused=refused,
            )
        )

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        return await testing.account(self._tools, self._in_force(), context, account_id, model)

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        return await testing.proxy(self._tools, self._in_force(), name)

    def _in_force(self) -> Snapshot:
        if self._catalogue is None:
            raise DependencyUnavailable("there is no configuration yet", retry_after=1.0)
        return self._catalogue.snapshot

    # ---- before the first byte --------------------------------------------------------------------------------------

    async def _begin(self, run: Run) -> Head:
        """Answer from the first candidate that gives a first byte. Raises the last candidate's error."""
        while True:
            asked, offers = await self._plan(run, self._chooser)
            try:
                return await self._first_answer(run, asked, offers)
            except _Superseded:
                run.walk.begins_anew()

    async def _plan(self, run: Run, chooser: Chooser) -> tuple[Asked, tuple[Offer, ...]]:
        call = run.call
        catalogue = self._catalogue
        if catalogue is None or catalogue.key(call.key_id) is None:
            _, catalogue = await self._policy(call.key_id)
        run.revision = catalogue.snapshot.revision
        request = read(call.client_format, call.body, model=call.model, stream=call.stream, framing=call.framing)
        run.request = request
        hurry = haste.read(call.headers[haste.HEADER], run.began) if haste.HEADER in call.headers else None
        if tags.HEADER in call.headers:
            found = self._find_tagged(catalogue, run, request.model)
        else:
            found = self._offers.get((call.key_id, request.model)) or self._find(catalogue, call.key_id, request.model)
            run.tags = found.policy.tags
        run.combo = found.plan.combo
        refused = found.refused
        if refused and (unusual := request.body.pick(refused)) and (field := beyond_bounds(unusual)):
            raise _unbounded(field)
        offers, policy = found.offers, found.policy
        if offers[0].rules.stream_on_accept and ruling.may_accept_stream(call, request):
            run.request = request = ruling.streamed(request)
        if found.kept.bounds or found.upstream:
            offers = _within_tokens(found, call.client_format, request)
        run.offers = offers
        mid_stream = found.mid_stream if request.stream else MidStream()
        run.resumable = mid_stream.resume and len(offers) > 1 and request.choices == 1 and request.framing != "array"
        asked = run.asked = Asked(
            call,
            request,
            policy,
            catalogue.snapshot.routing,
            found.limits,
            mid_stream,
            run.resumable,
            haste=hurry,
            tags=run.tags,
            began=run.began,
        )
        if found.hedges and request.stream and hedge.is_wanted(call.headers):
            run.race = Race(run, self._tools, asked, self._hedging)
        if found.choice is not None:
            run.line = await chooser.line(asked, found.choice, offers)
            run.orders = run.line.orders
        return asked, offers

    def _find(self, catalogue: Catalogue, key_id: str, model: str, more: tuple[str, ...] = ()) -> Offers:
        """With ``more`` limits than the key's."""
        policy = catalogue.key(key_id)
        if policy is None:
            raise _invalid_key()
        _may_ask(catalogue, policy, model)
        if more:
            policy = msgspec.structs.replace(policy, limits=policy.limits + more)
        found = offers_for(catalogue, catalogue.plan_for(policy, model), policy, self._tools.router_id)
        if catalogue is self._catalogue:  # and not one that a request began with before it was replaced
            if len(self._offers) >= _MEMO:
                self._offers.clear()
            self._offers[(key_id, model, *more)] = found
        return found

    def _find_tagged(self, catalogue: Catalogue, run: Run, model: str) -> Offers:
        """Of a request with tags of its own: what it shares with others of the same tag is as if its key shared it."""
        key_id = run.call.key_id
        policy = catalogue.key(key_id)
        if policy is None:
            raise _invalid_key()
        tagged, more = _tagged(catalogue, policy, run.call.headers)
        run.tags = tagged.tags
        return self._offers.get((key_id, model, *more)) or self._find(catalogue, key_id, model, more)

    async def _first_answer(self, run: Run, asked: Asked, offers: tuple[Offer, ...]) -> Head:
        if run.watch is not None:
            run.watch.planned()
        run.as_listed, walk = iter(offers), run.walk
        queue = asked.routing.queue
        while (offer := await run.next()) is not None:
            if not walk.passes_over(offer) and (head := await self._try(run, asked, offer)) is not None:
                return head
            if queue is None or not walk.skips or not queue.patience:
                continue
            if (head := await self._in_turn(run, asked, queue, queue.patience, offer)) is not None:
                return head
        if (offer := walk.last_resort()) is not None:
            run.line = None  # it knows the last one that it gave, which this is not
            if (head := await self._try(run, asked, offer, early=True)) is not None:
                return head
        if queue is not None and (head := await self._in_turn(run, asked, queue, queue.longest)) is not None:
            return head
        raise walk.error(asked.request.model)

    async def _in_turn(
        self, run: Run, asked: Asked, queue: Queue, longest: float, only: Offer | None = None
    ) -> Head | None:
        """Wait for a rate limit to let the request through, ``only`` that of one candidate or the soonest of all. None
        where it would take more than ``longest`` seconds, or too many wait already."""
        walk, turns, began = run.walk, self._tools.turns, clock.monotonic()
        if asked.haste is not None:
            longest = min(longest, asked.haste.left(began) or longest)
        until = began + longest
        skip = walk.soonest(only)
        if skip is None or skip.wait > longest or turns.waiting >= queue.most:
            return None
        outcome = "left"
        with turns.wait_for(asked.call.event_id) as turn:
            try:
                while skip is not None and skip.wait <= until - clock.monotonic():
                    await turn.wait(skip.wait)
                    if run.revision != self.revision:
                        raise _Superseded
                    walk.asks_again(skip, turn.seconds)
                    if (head := await self._try(run, asked, skip.offer, turn=turn)) is not None:
                        outcome = "served"
                        return head
                    skip = walk.soonest(only)
                outcome = "refused"
            except GatewayError:
                outcome = "served"  # with an error
                raise
            finally:
                run.waited(turn.seconds)
                self._metrics.queued.observe(turn.seconds, (outcome,))
        return None

    async def _try(
        self, run: Run, asked: Asked, offer: Offer, *, early: bool = False, turn: Turn | None = None
    ) -> Head | None:
        """Ask one candidate, again where its failure looks passing. None when the next is to be asked; raises what no
        other would answer otherwise."""
        walk, race = run.walk, run.race if asked.begun is None and not early else None
        retries, unproved = 0, False
        while retries <= asked.routing.retries:
            if run.attempts:  # before the next hold, so that a budget carries one at a time
                run.attempts[-1].settle("failed", None)
            attempt = run.attempt(self._tools, asked, offer)
            attempt.unproved = unproved
            attempt.early = early
            attempt.turn = turn
            attempt.again = retries > 0
            refusal = await attempt.admit(not run.counted, len(run.attempts) + 1, run.started_ms)
            if refusal is not None:
                if refusal.reason == "retry_budget":
                    break  # with what its first try came to
                if run.passed_over(offer, refusal):
                    return None
                told = as_error(refusal, asked.limits)
                if refusal.reason == "rate_limited":
                    raise told  # whoever is asked
                walk.refused(offer, told)
                return None
            run.counted = True
            run.attempts.append(attempt)
            try:
                return await (run.open(attempt) if race is None else race.open(attempt))
            except GatewayError as failure:
                error, attempt = failure, run.attempts[-1]  # of two, the one that went on for longer
                offer = attempt.offer
                run.failed(attempt, error)
            if attempt.doubted:  # no retry: it is another question
                unproved = True
            elif verdict.same_account_may_help(error):
                retries += 1
                if retries <= asked.routing.retries:
                    await self._pause(retries)
            else:
                break
        if not verdict.other_candidate_may_help(error):
            raise error
        return None

    # ---- in mid-stream ----------------------------------------------------------------------------------------------

    async def _to_the_end(self, run: Run) -> AsyncGenerator[bytes, None]:
        """A stream's bytes; where one candidate breaks off, those of another that goes on with its text. Raises what
        broke it where nobody can."""
        sent: list[bytes] = []
        size, going_on = 0, True
        while going_on:
            try:
                async for data in run.attempts[-1].frames():
                    if size <= _MOST_RESUMED:
                        sent.append(data)
                        size += len(data)
                    yield data
                going_on = False
            except UpstreamError as error:
                if size > _MOST_RESUMED or not await self._resumes(run, b"".join(sent), error):
                    raise

    async def _resumes(self, run: Run, sent: bytes, error: UpstreamError) -> bool:
        """Whether another candidate goes on with what was ``sent``; it is then the newest attempt."""
        broken, asked = run.attempts[-1], run.asked
        if asked is None or not verdict.other_candidate_may_help(error):
            return False
        error.message = broken.unsaid(error.message)
        broken.failure = error
        broken.count_usage()
        broken.settle("partial", None)
        await broken.close()
        run.walk.failed(broken.offer, error, broken.elapsed_ms())
        used = functools.reduce(Usage.plus, [attempt.usage for attempt in run.attempts])
        created = asked.begun.created if asked.begun is not None else broken.created
        run.written += broken.usage.output_tokens
        limit = max(1, asked.request.limit - run.written) if asked.request.limit else 0
        rest = msgspec.structs.replace(
            asked,
            request=msgspec.structs.replace(asked.request, limit=limit),
            begun=Begun(sent, used, created),
        )
        while (offer := await run.next()) is not None:
            if offer.candidate.provider.resumes == "off" or run.walk.passes_over(offer):
                continue
            try:
                if await self._try(run, rest, offer) is not None:
                    return True
            except GatewayError:  # it has no text to go on with, or may not be asked: what broke off is the news
                break
        run.attempts[-1].settle("failed", None)
        return False

    async def _pause(self, retry: int) -> None:
        await asyncio.sleep(self._tools.settings.retry_pause * 2 ** (retry - 1) * (0.5 + random.random()))

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
                raise _invalid_key() from None

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _finish(self, run: Run, error: GatewayError | None) -> None:
        """Settle what is open and write the request down. Nothing here waits, so it also runs when the client left."""
        last = run.attempts[-1] if run.attempts else None
        if last is not None:
            last.count_usage()
        if run.line is not None:
            run.line.finish(last, error)
        record = run.record(error)
        if last is None or not last.settle(record.outcome, error, record):
            self._tools.ledger.settle_soon(_events_only(self._tools.events.request(record), self._tools.router_id))
        self._metrics.observe(record, run.attempts)
        if self.told is not None:
            self.told(record)
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
        "model": record.source.model_requested,
        "attempts": record.attempts,
        "key": record.source.key_id,
    }
    if record.source.provider:
        fields |= {"provider": record.source.provider, "account": record.source.account_id}
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
        cost_nano_usd=0,
        breaker=None,
        events=(event,),
        router_id=router_id,
    )


def _may_ask(catalogue: Catalogue, policy: KeyPolicy, model: str) -> None:
    if not catalogue.may_ask(policy, model):
        raise PermissionDenied(f"this key may not use the model {model!r}", param="model", code="model_not_allowed")


def _within_tokens(found: Offers, client_format: WireFormat, request: Request) -> tuple[Offer, ...]:
    """The offers without those that would bill something of the request apart from tokens: a budget cannot hold that.
    Raises ``InvalidRequest`` when none is left."""
    apart: dict[WireFormat, str] = {}
    for provider_format in found.formats:
        if field := bounds.billed_apart(client_format, provider_format, request.body):
            apart[provider_format] = field
    beyond = ""
    if found.upstream and not found.kept.bounds and (unusual := request.body.pick(BILLED_APART)):
        beyond = beyond_bounds(unusual)
    if not apart and not beyond:
        return found.offers
    for_hours = {
        provider_format: bounds.billed_apart(client_format, provider_format, request.body, hours_priced=True)
        for provider_format, field in apart.items()
        if field == bounds.AN_HOUR
    }

    def holds(offer: Offer) -> bool:
        provider_format = offer.candidate.provider.format
        if provider_format in for_hours and offer.hours_priced:
            return not (beyond or for_hours[provider_format])
        return not (beyond or provider_format in apart)

    left = tuple(offer for offer in found.offers if not offer.kept.bounds or holds(offer))
    if not left:
        raise _unbounded(beyond or next(filter(None, for_hours.values()), "") or next(iter(apart.values())))
    return left


def _tagged(catalogue: Catalogue, policy: KeyPolicy, headers: Mapping[str, str]) -> tuple[KeyPolicy, tuple[str, ...]]:
    """The key with the tags that a request adds to its own, and the limits of these; and what of them is more. Raises
    ``InvalidRequest``."""
    if tags.HEADER not in headers:
        return policy, ()
    added = tuple(tag for tag in tags.read(headers[tags.HEADER]) if tag not in policy.tags)
    more = catalogue.limits_of_tags(policy, added)
    return msgspec.structs.replace(policy, tags=policy.tags + added, limits=policy.limits + more), more


def _unbounded(field: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} makes the provider bill apart from tokens or choose another model, which a budget of this key, a "
        "limit of its tokens or its list of models does not allow",
        param=field,
    )


def _invalid_key() -> GatewayError:
    return Unauthenticated("this API key is not valid any more")
