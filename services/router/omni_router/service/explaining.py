"""A request's way through its candidates without its being sent: the same admission of each, by a ledger that writes
nothing. Whoever would be asked is taken to fail, so that what would come after it is seen too."""

from collections.abc import Sequence

import msgspec
from omni_core import clock
from omni_ledger import Grant

from omni_router.domain import counting, pricing
from omni_router.domain.conversation import Size, is_marked
from omni_router.domain.explanation import Foreseen, would_be_asked, would_be_passed_over, would_wait
from omni_router.domain.offer import Offer
from omni_router.domain.walk import Walk
from omni_router.service.attempt import Attempt
from omni_router.service.choosing import Line
from omni_router.service.hedging import Hedging
from omni_router.service.held import Asked, Tools
from omni_router.service.refusing import as_error, skip_of
from omni_router.service.standings import Standings

# Candidates that are looked at; each is a question to Redis.
MOST = 100


class Foresight:
    """``tools`` are those of a dry ledger; ``hedging`` is None where nobody is asked besides another."""

    def __init__(self, tools: Tools, asked: Asked, standings: Standings, hedging: Hedging | None = None) -> None:
        self._tools, self._asked, self._hedging = tools, asked, hedging
        request = asked.request
        output = standings.typical_output(request.model, request.limit) * request.choices
        self._size = Size(counting.estimate(request.body), output, is_marked(request.body))
        self._counted = False
        self.steps: list[Foreseen] = []

    async def look(self, offers: Sequence[Offer], line: Line | None, walk: Walk) -> None:
        """Raises the ``GatewayError`` that the client would get."""
        as_listed = iter(offers)
        while (offer := next(as_listed, None) if line is None else await line.next()) is not None:
            if len(self.steps) == MOST:
                return
            if walk.passes_over(offer):
                self.steps.append(would_be_passed_over(walk.skips[-1]))
            else:
                await self._ask(offer, line, walk)
        if self.steps:  # nobody is left to be asked besides it
            self.steps[-1] = msgspec.structs.replace(self.steps[-1], hedge_ms=None)
        if not self._counted and (offer := walk.last_resort()) is not None:
            await self._ask(offer, None, walk, early=True)
        queue, skip = self._asked.routing.queue, walk.soonest()
        if not self._counted and queue is not None and skip is not None and skip.wait <= queue.longest:
            self.steps.append(would_wait(skip))
        elif not self._counted:
            raise walk.error(self._asked.request.model)

    async def _ask(self, offer: Offer, line: Line | None, walk: Walk, *, early: bool = False) -> None:
        attempt = Attempt(self._tools, self._asked, offer)
        attempt.early = early
        outcome = await attempt.foresee(not self._counted)
        if isinstance(outcome, Grant):
            self._counted = True
            now = offer.at(clock.now_ms())
            granted, reserved, cost = outcome.granted_output, outcome.reserved_nano_usd, self._cost(now)
            after = self._hedging.after(offer) if self._hedging is not None and not early else None
            self.steps.append(
                would_be_asked(now, granted, reserved, cost, early=early, probe=outcome.probe, hedge_after=after)
            )
            return
        skip = skip_of(offer, outcome)
        if skip is None:
            told = as_error(outcome, self._asked.limits)
            if outcome.reason == "rate_limited":
                raise told
            self.steps.append(would_be_passed_over(walk.refused(offer, told)))
            return
        walk.skipped(skip)
        if line is not None and outcome.reason == "breaker_open":
            line.cools(outcome.circuit, outcome.retry_after)
        if not early:
            self.steps.append(would_be_passed_over(skip))

    def _cost(self, offer: Offer) -> int | None:
        """With nothing of it in a prompt cache: where some is, the strategy's own values say so."""
        provider = offer.candidate.provider
        return pricing.expected_cost(provider, offer.price, self._size)
