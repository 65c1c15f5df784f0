"""The ledger's half of an attempt: reserve before it, count what it used, settle after it, once.

``Attempt`` is the provider's half.
"""

import random
from collections.abc import Callable, Mapping

import msgspec
from omni_catalogue.prices import cost
from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import KeyPolicy, Limit, MidStream, Routing
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.router import CompleteCall
from omni_core.ports.translator import TranslatorPort
from omni_core.tracing import Tracer
from omni_ledger import (
    Evidence,
    Grant,
    Hold,
    LaneNews,
    Ledger,
    Level,
    Passage,
    Refusal,
    Retrying,
    Settlement,
)
from omni_wire.errors import GatewayError, ProxyFailed
from omni_wire.usage import Usage

from omni_router.domain import allowances, bounds, circuits, counting, pricing, waits
from omni_router.domain.allowances import Most
from omni_router.domain.believing import believed
from omni_router.domain.haste import Haste
from omni_router.domain.offer import Offer
from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord
from omni_router.domain.request import Request
from omni_router.domain.taps.base import StreamTap
from omni_router.ports import EventCodec, Probe, Upstream, UpstreamAnswer
from omni_router.service.credentials import Credentials
from omni_router.service.quota_news import QuotaNews
from omni_router.service.rates import Rates
from omni_router.service.turns import Turn, Turns
from omni_router.settings import RouterSettings

_NOTHING, _NO_MORE = Usage(), Most()
_NO_PROXY = ("", "")
# Bytes, amply: what is said to ask for the rest of an answer.
_REQUEST_FOR_THE_REST = 1000
# Tokens that an answer is taken to have until it is there, where its limit is not lower.
_TYPICAL = 500


class Tools(msgspec.Struct, frozen=True):
    """What attempts work with; one for the router's whole life."""

    ledger: Ledger
    translator: TranslatorPort
    upstream: Upstream
    credentials: Credentials
    events: EventCodec
    settings: RouterSettings
    router_id: str
    turns: Turns
    rates: Rates = msgspec.field(default_factory=Rates)
    quotas: QuotaNews = msgspec.field(default_factory=QuotaNews)
    tracer: Tracer | None = None
    probe: Probe | None = None


class Begun(msgspec.Struct, frozen=True):
    """The beginning of an answer that its provider broke off: ``sent`` is what the client has of it, ``used`` what it
    has used, ``created`` its time in epoch seconds."""

    sent: bytes
    used: Usage
    created: int


class Asked(msgspec.Struct, frozen=True):
    """A request as admitted: what it asks, who asks, and under which configuration. ``limits`` are those that the key
    shares. With ``resumable`` another
    candidate may have to go on with the answer; ``begun`` is what it then goes on with. ``haste`` is the time that the
    request gives itself, None for what is configured. ``tags`` are its key's and its own."""

    call: CompleteCall
    request: Request
    policy: KeyPolicy
    routing: Routing
    limits: tuple[Limit, ...] = ()
    mid_stream: MidStream = MidStream()
    resumable: bool = False
    begun: Begun | None = None
    haste: Haste | None = None
    tags: tuple[str, ...] = ()
    began: float = 0.0  # when it came (monotonic)


class Held:
    """``usage`` and ``cost`` hold once ``count_usage`` was called. ``first_byte_ms`` is -1 until one came. ``began``
    and ``admitted`` are monotonic, the latter 0 until it was."""

    # What nothing has changed yet. They are the class' and not each attempt's, as most of them never are.
    usage, cost, first_byte_ms, finished = _NOTHING, 0, -1, False
    _on_settled: Callable[[], None] | None = None  # told when the ledger has the settlement
    _grant: Grant | None = None
    _is_bounded = False  # by a budget or an allowance: no more output may be asked for than was granted
    _answer: UpstreamAnswer | None = None
    _tap: StreamTap | None = None
    _reported: Usage | None = None
    _estimate = _input_estimate = _status = _wanted = 0
    _renew_at = _ttl = admitted = 0.0
    turn: Turn | None = None  # it waits for its turn, where it is refused one now
    again = False  # whether it tries the same account once more
    early = False  # whether it asks one that is only suspected, before its time is up
    hedge = False  # whether it asks one besides another that is slow to begin
    sent = 0.0  # when its provider was called (monotonic)
    is_unmade = False  # it has ended before that: no event tells of it
    failure: GatewayError | None = None  # its own, where the request's is another
    _awaited = False  # the request is with the provider, and nothing says that it failed
    _settled = False
    _failed_proxy: ProxyFailed | None = None

    def __init__(self, tools: Tools, asked: Asked, offer: Offer) -> None:
        self.id = new_id()
        self._started_ms = clock.now_ms()
        if offer.later:
            offer = offer.at(self._started_ms)
        self.offer = offer
        self.candidate = offer.candidate
        self._tools = tools
        self._asked = asked
        self.began = clock.monotonic()
        haste = asked.haste
        self._timeouts = offer.timeouts if haste is None else haste.shortened(offer.timeouts, self.began)

    async def admit(self, count_request: bool, number: int, began_ms: int) -> Refusal | None:
        """Reserve the worst case; a refusal leaves nothing behind. Raises ``DependencyUnavailable``, or
        ``UpstreamTimeout`` where the request has no time left.

        With it go the events that stand should this router die before it settles: ``number`` is the attempt's, from 1,
        ``began_ms`` when the request came.
        """
        asked, tools, offer = self._asked, self._tools, self.offer
        call, request, routing, policy = asked.call, asked.request, asked.routing, asked.policy
        timeouts = self._timeouts
        if asked.haste is not None:
            asked.haste.left(self.began)
        waits = timeouts.first_byte + timeouts.idle if request.stream else timeouts.total
        ttl = self._ttl = timeouts.connect + waits + tools.settings.hold_margin
        self._renew_at = self.began + ttl / 2
        bound = fixed = per_token = 0
        kept = offer.kept
        priced = (kept.money or kept.counted) and offer.price is not None
        if priced or kept.counted:
            bound = bounds.input_bound(call.client_format, request.body, self.candidate.model.context)
            bound += offer.rules.grows
            if asked.begun is not None:  # sent back as the model's own words, with ours
                bound += len(asked.begun.sent) + _REQUEST_FOR_THE_REST
            self._is_bounded = kept.tokens or (kept.money and priced)
        if priced:
            ceilings = offer.ceilings(bound)
            fixed = ceilings.of_input(bound)
            per_token = ceilings.output * request.choices
        now = self._started_ms / 1000
        most = _NO_MORE
        if asked.limits or offer.limits:
            most = Most(int(count_request), bound, request.choices, fixed, per_token)
        self._wanted = pricing.wanted_output(request.limit, self.candidate.model, routing.default_max_output)
        facts = AbortFacts(
            self.id, call.event_id, call.context.request_id, began_ms, self._started_ms, offer.source,
            call.client_format.value, request.stream, number, asked.tags,
        )  # fmt: skip
        outcome = await tools.ledger.admit(
            Hold(
                attempt_id=self.id,
                request_id=call.event_id,
                key_id=policy.id,
                account_id=self.candidate.account.id,
                count_request=count_request,
                requests_per_minute=policy.requests_per_minute,
                budget=allowances.hold_on(policy.budget, policy.budget.window, fixed, per_token)
                if policy.budget is not None and priced
                else None,
                wanted_output=self._wanted,
                breaker=routing.breaker,
                ttl_ms=int(ttl * 1000),
                router_id=tools.router_id,
                abort_events=tools.events.aborted(facts),
                circuits=offer.circuits.besides_account,
                secret=self.candidate.account.secret_version,
                early=self.early,
                levels=self._levels(most, fixed, per_token, priced, now)
                if asked.limits or offer.limits or offer.counted
                else (),
                passage=self._passage() if offer.lanes else None,
                retrying=self._retrying(count_request) if routing.retries else None,
                serves_away=kept.away,
            )
        )
        if isinstance(outcome, Refusal):
            if self.turn is not None:
                self.turn.refused(offer, outcome)
            return outcome
        self._grant = outcome
        self.admitted = clock.monotonic()
        if outcome.in_lanes:
            tools.turns.began(self.id)
        return None

    @property
    def is_covered(self) -> bool:
        """Whether as much output was granted as it may want."""
        return self._granted() >= self._wanted

    def give_back(self) -> None:
        """It is not made after all: as if it had never been admitted."""
        self._settled = True
        self._tools.turns.ended(self.id)
        offer = self.offer.circuits
        self._tools.ledger.release_soon(self.id, (offer.account, *offer.besides_account))

    def _levels(self, most: Most, fixed: int, per_token: int, priced: bool, now: float) -> tuple[Level, ...]:
        shared = [
            Level(
                owner=limit.window_owner,
                requests_per_minute=limit.requests_per_minute,
                budget=allowances.of_budget(limit, fixed, per_token, now) if priced else None,
                allowances=allowances.holds(limit, most, now) if limit.allowances else (),
            )
            for limit in self._asked.limits
        ]
        offer = self.offer
        upstream = [allowances.upstream(limit, most, fixed, per_token, now, priced=priced) for limit in offer.limits]
        return *shared, *upstream, *allowances.of_account(self.candidate.account.id, offer.counted, now)

    def _passage(self) -> Passage:
        request, turn = self._asked.request, self.turn
        output = min(request.limit or _TYPICAL, _TYPICAL) * request.choices
        return Passage(
            lanes=self.offer.lanes,
            tokens=counting.rough(request.body.whole) + output,
            learns=self._asked.routing.learns,
            ticket=turn.ticket if turn is not None else None,
        )

    def _retrying(self, is_first: bool) -> Retrying | None:
        """Only a request's first attempt and its retries count: the next candidate is no retry."""
        allowed = self._asked.routing.retry_budget
        if allowed is None or not (is_first or self.again):
            return None
        return Retrying(again=self.again, percent=allowed.percent, least=allowed.least)

    async def foresee(self, count_request: bool) -> Grant | Refusal:
        """What ``admit`` would come to; for tools whose ledger is a dry one."""
        refusal = await self.admit(count_request, 1, self._started_ms)
        return refusal or self._grant or Grant(0, 0, probe=False)

    def settle(self, outcome: str, error: GatewayError | None, request: RequestRecord | None = None) -> bool:
        """Release the reservation, charge what was used, tell what it says of the breakers, write the events: one step,
        queued at once, done once. ``error`` is the request's, where the attempt had none of its own.

        False when it had been settled before, and nothing was written now.
        """
        if self._settled:
            return False
        self.is_unmade = self.would_be_unmade
        self._settled = True
        if self._grant is not None and self._grant.in_lanes:
            self._tools.turns.ended(self.id)
        if self._answer is not None:
            self._answer.close()
        error = self.failure or error
        codec = self._tools.events
        record = self._record(outcome, error.kind if error is not None else "")
        told = [] if self.is_unmade else [codec.attempt(record)]
        if request is not None:
            told.append(codec.request(request))
        self._tools.ledger.settle_soon(
            Settlement(
                attempt_id=self.id,
                cost_nano_usd=self.cost,
                breaker=self._asked.routing.breaker,
                events=tuple(told),
                router_id=self._tools.router_id,
                evidence=self._evidence(error),
                secret=self.candidate.account.secret_version,
                jitter=random.random(),
                tokens=self.usage.input_tokens + self.usage.output_tokens if self.offer.lanes else -1,
                news=self._news(error) if self._asked.routing.learns and self.offer.lanes else None,
                used=(self.usage.input_tokens, self.usage.output_tokens)
                if self.offer.kept.counted or self.offer.counted
                else (0, 0),
                # The reaper has charged it by then, and told so.
                if_reaped=codec.attempt(msgspec.structs.replace(record, outcome="aborted")) if self.is_unmade else b"",
            ),
            self._on_settled,
        )
        if self.offer.quota is not None:
            self._tell_quota(self.offer.quota)
        return True

    @property
    def would_be_unmade(self) -> bool:
        """As ``is_unmade``, of one that has not ended yet."""
        return self.is_unmade if self._settled else not self.sent

    def _tell_quota(self, quota: Quota) -> None:
        account, now = self.candidate.account.id, clock.now_ms() / 1000
        if news := self._tools.quotas.news(account, quota, self.headers, now):
            self._tools.ledger.told_soon(account, news)

    def _evidence(self, error: GatewayError | None) -> tuple[Evidence, ...]:
        if self._asked.routing.breaker is None:
            return ()
        quota = self.offer.quota
        cutoff = quota.cutoff / 100 if quota is not None else 0.0
        spent = waits.spent(self.headers, clock.now_ms() / 1000, cutoff) if error is None else None
        probe = self._grant is not None and self._grant.probe
        if error is None and spent is None and not probe:  # as most: it tells nobody anything new
            return ()
        said = circuits.evidence(self.offer.circuits, error, spent)
        return tuple([Evidence(each.circuit, each.outcome, each.cause, each.told) for each in said])

    def _news(self, error: GatewayError | None) -> LaneNews | None:
        return self._tools.rates.news(self.offer, self.headers, error, clock.now_ms() / 1000)

    def _works(self) -> None:
        """The provider answers: if this was a probe, nobody needs to wait for its end."""
        if self._grant is not None and self._grant.probe:
            offer = self.offer.circuits
            self._tools.ledger.cleared_soon(self.id, (offer.account, *offer.besides_account))

    def count_usage(self) -> None:
        """Fix what was used, before it is settled: the provider's count, else an estimate of what went by."""
        tap = self._tap
        usage = tap.usage if tap is not None and tap.usage is not None else self._reported
        if usage is None:
            read = self.first_byte_ms >= 0 or self._awaited
            usage = Usage(input_tokens=self._input_estimate, estimated=True) if read else _NOTHING
        else:
            context = self.candidate.model.context
            usage = believed(usage, context=context, input_estimate=self._input_estimate)
        if usage.estimated or not self.finished:
            seen = max(self._estimate, tap.estimate() if tap is not None else 0) if self.first_byte_ms >= 0 else 0
            if self._grant is not None:
                seen = min(seen, self._grant.granted_output * self._asked.request.choices)
            if seen > usage.output_tokens:
                usage = msgspec.structs.replace(usage, output_tokens=seen, estimated=True)
        self.usage = usage
        self.cost = cost(usage, self.offer.price)

    @property
    def created(self) -> int:
        """When it began, in epoch seconds."""
        return self._started_ms // 1000

    @property
    def headers(self) -> Mapping[str, str]:
        """The provider's; none before it answered."""
        return self._answer.headers if self._answer is not None else {}

    def since_request(self, began: float) -> int:
        """Milliseconds from ``began`` to the first byte."""
        return int((self.began - began) * 1000) + self.first_byte_ms

    def _record(self, outcome: str, error_kind: str) -> AttemptRecord:
        reserved = self._grant.reserved_nano_usd if self._grant is not None else 0
        return AttemptRecord(
            self.id,
            self._asked.call.event_id,
            1,
            self._started_ms,
            self.elapsed_ms(),
            self.first_byte_ms,
            self.offer.source,
            outcome,
            error_kind,
            self._status,
            self.usage,
            self.cost,
            reserved,
            0 < reserved < self.cost,
            *self._proxied(),
        )

    def _proxied(self) -> tuple[str, str]:
        """The proxy that it took, or that failed last, and whose word that was."""
        if not self.candidate.account.egress:
            return _NO_PROXY
        way = self._answer.way if self._answer is not None else None
        if way is not None and way.proxy is not None:
            return way.proxy.name, way.level
        failed = self._failed_proxy
        return (failed.proxy, failed.level) if failed is not None and way is None else _NO_PROXY

    def _granted(self) -> int:
        return self._grant.granted_output if self._grant is not None else 0

    def _keep_held(self) -> None:
        """A stream that goes on for long keeps its reservation alive."""
        if clock.monotonic() > self._renew_at:
            self._renew_at = clock.monotonic() + self._ttl / 2
            self._tools.ledger.renew_soon(self.id, int(self._ttl * 1000))

    def elapsed_ms(self) -> int:
        return int((clock.monotonic() - self.began) * 1000)
