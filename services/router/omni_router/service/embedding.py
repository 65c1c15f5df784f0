"""A vector for a text: asked of one account after another as an attempt is, reserved, judged and billed, or made here.

What is spent on it is the request's: an attempt of its own beside those that answer it.
"""

import random
from collections.abc import Callable, Iterator

from msgspec.structs import replace
from omni_catalogue import circuits as names
from omni_catalogue.catalogue import Candidate, upstream_of
from omni_catalogue.lanes import lanes_of
from omni_catalogue.prices import ceilings, cost, in_force, version
from omni_catalogue.snapshot import LOCAL_EMBEDDINGS, KeyPolicy, Limit, Price, Snapshot
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.router import CompleteCall
from omni_ledger import Evidence, Grant, Hold, Level, Passage, Refusal, Settlement
from omni_wire.errors import (
    ClientGone,
    CredentialUnavailable,
    GatewayError,
    NoCandidate,
    PermissionDenied,
    UpstreamError,
    UpstreamRejected,
)
from omni_wire.usage import Usage

from omni_router.domain import allowances, circuits, pricing
from omni_router.domain.allowances import Most
from omni_router.domain.believing import believed
from omni_router.domain.circuits import Circuits
from omni_router.domain.offers import charged
from omni_router.domain.records import AbortFacts, AttemptRecord, Source
from omni_router.ports import AskedEmbeddingPort, Embedding, LocalEmbeddingPort
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.refusing import as_error, is_own_matter

FORMAT = "openai.embeddings"
_TRIES = 2  # accounts: nobody waits long for a vector
_NOTHING = Usage()


class Embedder:
    """``at`` is what asks one account for vectors of a model, ``local`` the model that is installed here."""

    def __init__(
        self,
        tools: Tools,
        metrics: RouterMetrics,
        at: Callable[[Candidate], AskedEmbeddingPort],
        local: LocalEmbeddingPort,
    ) -> None:
        self._tools = tools
        self._metrics = metrics
        self._at = at
        self._local = local
        self._snapshot: Snapshot | None = None
        self._places: tuple[Candidate, ...] = ()
        self._limits: tuple[tuple[Limit, ...], ...] = ()  # of each place
        self._named = ""

    def configure(self, snapshot: Snapshot) -> None:
        semantic = snapshot.routing.caching.semantic if snapshot.routing.caching is not None else None
        self._named = semantic.embeddings if semantic is not None else ""
        self._snapshot, self._places = snapshot, tuple(_places(snapshot, self._named))
        self._limits = tuple(_limits_upstream(snapshot, place) for place in self._places)
        if self._named == LOCAL_EMBEDDINGS:
            self._local.prepare()

    async def vector(
        self, call: CompleteCall, policy: KeyPolicy, limits: tuple[Limit, ...], named: str, text: str, until: float
    ) -> tuple[float, ...]:
        """The vector of ``text`` by the model ``named``, at the latest at ``until`` (monotonic).

        Raises what an ``EmbeddingPort`` does, ``NoCandidate`` where nobody can be asked now, ``PermissionDenied`` where
        what the key asks may not go there, ``BudgetExhausted``, ``BudgetHeld``, ``DependencyUnavailable``.
        """
        if named != self._named:
            raise NoCandidate(f"{named} is not what vectors are of any more")
        if named == LOCAL_EMBEDDINGS:
            return (await self._local.embed(call.context, text, until - clock.monotonic())).vector
        snapshot = self._snapshot
        if self._places and not policy.scopes.has_provider(self._places[0].provider.id):
            raise PermissionDenied("this key's requests may not go to the provider of the embeddings")
        failure: GatewayError = NoCandidate(f"no account can be asked for vectors of {named}")
        tried = 0
        for place, upstream in zip(self._places, self._limits, strict=True):
            if snapshot is None or tried == _TRIES or clock.monotonic() >= until:
                break
            asking = _Asking(self._tools, self._metrics, snapshot, call, policy, limits, place, text, upstream)
            if not await asking.admit(named, until):
                continue
            tried += 1
            try:
                return (await asking.ask(self._at(place), until)).vector
            except (UpstreamError, CredentialUnavailable) as error:
                failure = error
        raise failure


def _places(snapshot: Snapshot, named: str) -> Iterator[Candidate]:
    """None where the provider is off."""
    word, _, model_id = named.partition("/")
    wanted = snapshot.aka.get(word, word)
    for provider in snapshot.providers:
        if provider.id == wanted and (model := provider.model(model_id)) is not None:
            yield from (Candidate(provider, model, account) for account in provider.accounts)


def _limits_upstream(snapshot: Snapshot, place: Candidate) -> tuple[Limit, ...]:
    """As ``Catalogue`` has them, of which it would be another."""
    places = upstream_of(place)
    return tuple(limit.counted() for limit in snapshot.limits if (limit.of, limit.owner) in places)


class _Asking:
    """One account, asked once."""

    def __init__(
        self,
        tools: Tools,
        metrics: RouterMetrics,
        snapshot: Snapshot,
        call: CompleteCall,
        policy: KeyPolicy,
        limits: tuple[Limit, ...],
        place: Candidate,
        text: str,
        upstream: tuple[Limit, ...] = (),
    ) -> None:
        self._tools = tools
        self._metrics = metrics
        self._snapshot = snapshot
        self._call = call
        self._policy = policy
        self._limits, self._upstream = limits, upstream
        self._place = place
        self._text = text
        self._size = len(text.encode("utf-8", "surrogatepass"))
        self._id = new_id()
        self._started_ms, self._began = clock.now_ms(), clock.monotonic()
        self._price: Price | None = None
        self._source = Source(key_id=policy.id, model_requested="", combo="", config_revision=0, router_id="")
        self._grant = Grant(0, 0, probe=False)

    async def admit(self, named: str, until: float) -> bool:
        """Reserve what it can cost, until then. False where a breaker of this account is open, or its rate limit or
        another limit of what is upstream lets nobody through; raises what a budget refuses with, and
        ``DependencyUnavailable``."""
        policy, place, tools, snapshot = self._policy, self._place, self._tools, self._snapshot
        own = [policy.budget] if policy.budget is not None else []
        shared = [budget for limit in (*self._limits, *self._upstream) for budget in limit.budgets]
        pays = place.model.pays(place.account.id, policy.organisation)
        priced = pricing.pricing_for(pays, own + shared)
        if priced is None:
            raise NoCandidate(f"{named} has no price, and this key has a USD budget or shares one")
        row = in_force(priced.history, self._started_ms)
        self._price = row.price if row is not None else None
        self._source = Source(
            key_id=policy.id,
            model_requested=named,
            combo="",
            config_revision=snapshot.revision,
            router_id=tools.router_id,
            provider=place.provider.id,
            account_id=place.account.id,
            model=place.model.id,
            provider_format=FORMAT,
            pricing=priced.mode,
            price_version=version(row) if row is not None else "",
            charged=charged(policy, self._limits + self._upstream) if row is not None else (),
        )
        call, left = self._call, max(0.0, until - self._began)
        facts = AbortFacts(
            self._id, call.event_id, call.context.request_id, self._started_ms, self._started_ms, self._source,
            call.client_format.value, False, 1,
        )  # fmt: skip
        fixed, counts, now = self._most_nano_usd(), row is not None, self._started_ms / 1000
        most = Most(input=self._size, input_nano_usd=fixed)
        outcome = await tools.ledger.admit(
            Hold(
                attempt_id=self._id,
                request_id=call.event_id,
                key_id=policy.id,
                account_id=place.account.id,
                count_request=False,
                requests_per_minute=0,
                budget=allowances.hold_on(policy.budget, policy.budget.window, fixed, 0)
                if policy.budget is not None and counts
                else None,
                wanted_output=0,
                breaker=snapshot.routing.breaker,
                ttl_ms=int((left + tools.settings.hold_margin) * 1000),
                router_id=tools.router_id,
                abort_events=tools.events.aborted(facts)[:1],
                circuits=(names.seat(place.account.id, place.model.id),),
                secret=place.account.secret_version,
                levels=tuple(
                    Level(
                        owner=limit.window_owner,
                        budget=allowances.of_budget(limit, fixed, 0, now) if counts else None,
                        allowances=allowances.of_a_vector(limit, most, now),
                    )
                    for limit in self._limits
                    if limit.budget is not None or limit.allowances
                )
                + tuple(allowances.upstream(limit, most, fixed, 0, now, priced=counts) for limit in self._upstream)
                + self._of_account(now),
                passage=self._passage(),
            )
        )
        if isinstance(outcome, Refusal):
            if not is_own_matter(outcome, self._upstream):
                raise as_error(outcome, self._limits)
            return False
        self._grant = outcome
        return True

    def _of_account(self, now: float) -> tuple[Level, ...]:
        account = self._place.account
        windows = account.quota.counted(self._place.model.id) if account.quota is not None else ()
        return allowances.of_account(account.id, windows, now)

    def _passage(self) -> Passage | None:
        place, learns = self._place, self._snapshot.routing.learns
        lanes = lanes_of(place.provider, place.account, place.model, learns=learns)
        return Passage(lanes=lanes, tokens=-(-self._size // 4), learns=learns) if lanes else None

    def _most_nano_usd(self) -> int:
        """Of a token for each byte of the text, as none is shorter."""
        price = self._price
        return ceilings(price, self._size).of_input(self._size) if price is not None else 0

    async def ask(self, port: AskedEmbeddingPort, until: float) -> Embedding:
        """Raises what ``port`` does; whatever becomes of it is settled."""
        usage, at = _NOTHING, -1
        error: GatewayError | None = None
        guess = Usage(input_tokens=-(-self._size // 4), estimated=True)
        try:
            within = max(0.001, until - clock.monotonic())
            found = await port.embed(self._call.context, self._text, within)
        except GatewayError as failure:
            error = failure
            raise
        except BaseException:  # it may have been read, and then is billed
            usage, error = guess if port.sent else _NOTHING, ClientGone("nobody waits for the vector any more")
            raise
        else:
            told = Usage(input_tokens=found.tokens) if found.tokens else guess
            context = self._place.model.context
            usage = believed(told, context=context, input_estimate=guess.input_tokens)
            at = self._elapsed_ms()
            return found
        finally:
            self._settle(usage, error, at, sent=port.sent)

    def _settle(self, usage: Usage, error: GatewayError | None, first_byte_ms: int, *, sent: bool) -> None:
        """As an attempt is: one that was not ``sent`` leaves no event."""
        tools, place, reserved = self._tools, self._place, self._grant.reserved_nano_usd
        spent = cost(usage, self._price)
        gone = isinstance(error, ClientGone)
        record = AttemptRecord(
            self._id, self._call.event_id, 1, self._started_ms, self._elapsed_ms(), first_byte_ms, self._source,
            "ok" if error is None else "cancelled" if gone else "failed", error.kind if error is not None else "",
            200 if error is None else error.status if isinstance(error, UpstreamRejected) else 0,
            usage, spent, reserved, 0 < reserved < spent,
        )  # fmt: skip
        undone = b"" if sent else tools.events.attempt(replace(record, outcome="aborted"))
        breaker = self._snapshot.routing.breaker
        of = Circuits(place.account.id, names.seat(place.account.id, place.model.id))
        tools.ledger.settle_soon(
            Settlement(
                attempt_id=self._id,
                cost_nano_usd=spent,
                breaker=breaker,
                events=(tools.events.attempt(record),) if sent else (),
                router_id=tools.router_id,
                evidence=tuple(
                    Evidence(each.circuit, each.outcome, each.cause, each.told) for each in circuits.evidence(of, error)
                )
                if breaker is not None and (error is not None or self._grant.probe)
                else (),
                secret=place.account.secret_version,
                jitter=random.random(),
                tokens=usage.input_tokens,
                used=(usage.input_tokens, usage.output_tokens),
                if_reaped=undone,
            )
        )
        self._metrics.embedded(self._source, usage, spent)

    def _elapsed_ms(self) -> int:
        return int((clock.monotonic() - self._began) * 1000)
