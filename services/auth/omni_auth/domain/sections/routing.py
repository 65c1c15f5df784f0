"""What holds for all requests: breakers, caches, queues, repetitions."""

from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Seconds, Section, Tokens
from omni_auth.domain.sections.combos import Hedged, MidStreamSection, Strategy, TimeoutsSection
from omni_auth.domain.sections.rules import CACHED

WholeSeconds = Annotated[int, BeforeValidator(scalars.whole(1, 86_400))]


class BreakerSection(Section):
    """As ``omni_catalogue.snapshot.BreakerPolicy``."""

    failures: Annotated[int, BeforeValidator(scalars.whole(1, 10_000))] = 5
    window: WholeSeconds = 60
    open_for: WholeSeconds = 30
    limited_for: WholeSeconds = 1
    limited_longest: WholeSeconds = 120
    refused_for: WholeSeconds = 120
    refused_longest: WholeSeconds = 1800
    told_longest: Annotated[int, BeforeValidator(scalars.whole(1, 604_800))] = 86_400

    @model_validator(mode="after")
    def _fits(self) -> "BreakerSection":
        for first, longest in (("limited_for", "limited_longest"), ("refused_for", "refused_longest")):
            if getattr(self, first) > getattr(self, longest):
                message = f"{first} is more than {longest}, which is the most that it grows to; raise {longest}"
                raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


def _retries(value: object) -> object:
    return "0" if scalars.flag_or_none(value) is False else value


def _cache(value: object) -> object:
    if isinstance(value, dict):
        return value or {"exact": {}}
    switched = scalars.flag_or_none(value)
    if switched is None:
        message = "must be on, off or a mapping such as {exact: {requests: deterministic, ttl: 1h}}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return {"exact": {}} if switched else None


class ExactCacheSection(Section):
    """``requests`` are those that are answered from it: only those that are "asked" for with ``x-omniroute-cache: on``,
    those that are "deterministic" (with a temperature of 0) too, or "any"."""

    requests: Annotated[str, BeforeValidator(scalars.one_of(CACHED))] = "deterministic"
    ttl: Annotated[float, BeforeValidator(scalars.lasting(30 * 86_400))] = 3_600.0
    max_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 64 << 20))] = 1 << 20


def _semantic(value: object) -> object:
    if isinstance(value, dict):
        return value
    if scalars.flag_or_none(value) is not False:
        message = "must be off or a mapping such as {embeddings: PROVIDER/MODEL, requests: asked, threshold: 0.95}"
        raise PydanticCustomError("omniroute", "{message}", {"message": message})
    return None


class SemanticCacheSection(Section):
    """``requests`` are, of those that ``exact`` answers, the ones that the answer to other words of the same meaning
    will do for: "asked" for with ``x-omniroute-cache: semantic``, "deterministic", "any" or "off". ``embeddings`` is
    the provider/model whose vectors tell a meaning, or "local"."""

    embeddings: Annotated[str, BeforeValidator(scalars.text)]
    requests: Annotated[str, BeforeValidator(scalars.one_of((*CACHED, "off")))] = "asked"
    threshold: Annotated[float, BeforeValidator(scalars.share)] = 0.95
    ttl: Annotated[float | None, BeforeValidator(scalars.lasting(30 * 86_400))] = None
    max_entries: Annotated[int, BeforeValidator(scalars.whole(1, 1_024))] = 256
    timeout: Annotated[float, BeforeValidator(scalars.lasting(60))] = 2.0


class CacheSection(Section):
    """``exact`` answers the very same request of the same key, ``semantic`` one in other words."""

    exact: ExactCacheSection = ExactCacheSection()
    semantic: Annotated[SemanticCacheSection | None, BeforeValidator(_semantic)] = None

    @model_validator(mode="after")
    def _fits(self) -> "CacheSection":
        exact, semantic = self.exact, self.semantic
        if semantic is None:
            return self
        if semantic.ttl is not None and semantic.ttl > exact.ttl:
            told = (
                f"semantic.ttl is more than exact.ttl, after which an answer is gone: {exact.ttl:g} s; raise exact.ttl"
            )
            raise PydanticCustomError("omniroute", "{message}", {"message": told})
        if semantic.requests in CACHED and CACHED.index(semantic.requests) > CACHED.index(exact.requests):
            told = (
                f"semantic.requests is {semantic.requests} and exact.requests only {exact.requests}, which it is of; "
                f"say exact: {{requests: {semantic.requests}}}"
            )
            raise PydanticCustomError("omniroute", "{message}", {"message": told})
        return self


def _dedup(value: object) -> float:
    return 0.0 if scalars.flag_or_none(value) is False else scalars.lasting(3_600)(value)


class IdempotencySection(Section):
    """A request asked again under the same ``Idempotency-Key`` is told the first answer, for ``window`` from its end.
    ``fail`` is what becomes of one while nothing can be recorded; ``dedup`` finds the same request without a key."""

    window: Annotated[float, BeforeValidator(scalars.lasting(30 * 86_400))] = 86_400.0
    max_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 64 << 20))] = 4 << 20
    fail: Annotated[str, BeforeValidator(scalars.one_of(("refuse", "open")))] = "refuse"
    request_id: Flag = False
    dedup: Annotated[float, BeforeValidator(_dedup)] = 0.0


class QueueSection(Section):
    """As ``omni_catalogue.snapshot.Queue``."""

    longest: Seconds = 10.0
    patience: Annotated[float, BeforeValidator(scalars.seconds_or_none)] = 0.5
    most: Annotated[int, BeforeValidator(scalars.whole(1, 100_000))] = 1000

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patience > self.longest:
            message = f"patience is {self.patience:g} s, more than the {self.longest:g} s of longest, which ends it"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class RetryBudgetSection(Section):
    """As ``omni_catalogue.snapshot.RetryBudget``."""

    percent: Annotated[int, BeforeValidator(scalars.whole(0, 100))] = 20
    least: Annotated[int, BeforeValidator(scalars.whole(0, 1_000_000))] = 10


class RoutingSection(Section):
    """``strategy`` is for combos and for accounts of providers that have none of their own; ``auto`` is whether there
    are combos that stand for all providers, by tier."""

    strategy: Strategy = None
    auto: Flag = True
    retries: Annotated[int, BeforeValidator(scalars.whole(0, 10)), BeforeValidator(_retries)] = 0
    breaker: Annotated[
        BreakerSection | None,
        BeforeValidator(scalars.switched("a mapping such as {failures: 5, window: 60, open_for: 30}")),
    ] = BreakerSection()
    cache: Annotated[CacheSection | None, BeforeValidator(_cache)] = CacheSection(
        exact=ExactCacheSection(requests="asked")
    )
    default_max_output: Tokens = 32_000
    timeouts: TimeoutsSection = TimeoutsSection()
    mid_stream: MidStreamSection = MidStreamSection()
    hedge: Hedged = None
    idempotency: Annotated[
        IdempotencySection | None,
        BeforeValidator(scalars.switched("a mapping of window, max_bytes, fail, request_id and dedup")),
    ] = IdempotencySection()
    blocked_providers: tuple[Name, ...] = ()
    queue: Annotated[
        QueueSection | None, BeforeValidator(scalars.switched("a mapping such as {longest: 10, patience: 0.5}"))
    ] = QueueSection()
    retry_budget: Annotated[
        RetryBudgetSection | None, BeforeValidator(scalars.switched("a mapping such as {percent: 20, least: 10}"))
    ] = RetryBudgetSection()
    learn_rate_limits: Flag = True
