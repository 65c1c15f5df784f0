"""A second attempt besides a first whose stream is late to begin: who gives a first byte worth passing on wins, and the
other is let go.

Both are reserved for as any attempt is. The one that is let go is settled as one whose client has left: what it was
sent is billed by estimate, and it says nothing of its provider.
"""

import asyncio
from typing import Any, TypeAlias

from omni_catalogue.snapshot import Hedge
from omni_core import clock
from omni_core.ports.router import Head
from omni_wire.errors import ClientGone, GatewayError

from omni_router.domain.choice import seat
from omni_router.domain.hedge import SHARE, Extra, Outrun
from omni_router.domain.offer import Offer
from omni_router.domain.times import Times
from omni_router.service.attempt import Attempt
from omni_router.service.held import Asked, Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.run import Run
from omni_router.service.standings import Standings

Opening: TypeAlias = "asyncio.Task[Head]"
Going: TypeAlias = dict[Opening, Attempt]  # those under way, as they began


class Hedging:
    """One a router: how long streams take to begin, and how many second attempts there may be."""

    def __init__(self, standings: Standings, metrics: RouterMetrics) -> None:
        self._standings = standings
        self._extra: dict[int, Extra] = {}  # by percent
        self._outcomes = metrics.hedges

    def after(self, offer: Offer) -> float | None:
        """Seconds from its call after which another is asked besides it; None where nobody is, or nobody knows yet."""
        if offer.hedge is None:
            return None
        if offer.hedge.after:
            return offer.hedge.after
        known = self._of(offer).within(SHARE)
        return max(known, offer.hedge.least) if known is not None else None

    def began(self, attempt: Attempt) -> None:
        """What it took."""
        if _is_measured(attempt.offer):
            self._of(attempt.offer).add(attempt.waited)

    def outrun(self, attempt: Attempt) -> None:
        """It would have taken longer: where that is more than most take, it is one of the others."""
        if _is_measured(attempt.offer) and attempt.sent:
            times, seconds = self._of(attempt.offer), clock.monotonic() - attempt.sent
            known = times.within(SHARE)
            if known is not None and seconds > known:
                times.add(seconds)

    def allowed(self, hedge: Hedge) -> Extra:
        found = self._extra.get(hedge.most_extra)
        if found is None:
            found = self._extra[hedge.most_extra] = Extra(hedge.most_extra)
        return found

    def count(self, outcome: str) -> None:
        self._outcomes.add((outcome,))

    def _of(self, offer: Offer) -> Times:
        standing = self._standings.of(seat(offer))
        if standing.beginnings is None:
            standing.beginnings = Times()
        return standing.beginnings


def _is_measured(offer: Offer) -> bool:
    return offer.hedge is not None and not offer.hedge.after


class Race:
    """One a request, for at most one second attempt."""

    def __init__(self, run: Run, tools: Tools, asked: Asked, hedging: Hedging) -> None:
        self._run, self._tools, self._asked, self._hedging = run, tools, asked, hedging
        self._counted = self._over = False

    async def open(self, first: Attempt) -> Head:
        """``first``, opened, or a second that was faster: who answers is the newest attempt of its request.

        Raises a ``GatewayError``: that of the newest attempt. One that failed before it, and all that was let go, is
        settled.
        """
        hedge = first.offer.hedge
        if hedge is not None and not self._counted:
            self._counted = True
            self._hedging.allowed(hedge).came()
        seconds = self._hedging.after(first.offer) if not self._over else None
        if hedge is None or seconds is None:
            head = await self._run.open(first)
        else:
            head = await self._besides(first, hedge, seconds)
        self._hedging.began(self._run.attempts[-1])
        return head

    async def _besides(self, first: Attempt, hedge: Hedge, seconds: float) -> Head:
        opening = asyncio.ensure_future(self._run.open(first))
        going = {opening: first}
        try:
            if await _is_overdue(first, opening, seconds):
                self._over = True
                if not self._hedging.allowed(hedge).takes():
                    self._hedging.count("withheld")
                elif (second := await self._found(opening)) is not None:
                    going[asyncio.ensure_future(self._run.open(second))] = second
            return await self._faster(going)
        finally:
            await self._leave(going)

    # ---- who else ---------------------------------------------------------------------------------------------------

    async def _found(self, opening: Opening) -> Attempt | None:
        """A second that is reserved for; None where there is none, or the first begins sooner."""
        finding = asyncio.ensure_future(self._find())
        try:
            await asyncio.wait((opening, finding), return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and opening.exception() is not None:
                await asyncio.wait((finding,))  # it is the next
        finally:
            await _end(finding)
        second = finding.result() if not finding.cancelled() else None
        if second is None:
            self._hedging.count("unfit")
        return second

    async def _find(self) -> Attempt | None:
        """The next candidate that may be asked now. One that is refused for anything but a breaker or its rate limit,
        or that a budget covers in part only, is left for later: when the first is settled, it may cover it."""
        run = self._run
        while (offer := await run.next()) is not None:
            if run.walk.passes_over(offer):
                continue
            second = run.attempt(self._tools, self._asked, offer)
            second.hedge = True
            try:
                refusal = await second.admit(False, len(run.attempts) + 1, run.started_ms)
            except BaseException as error:
                run.again.append(offer)
                if isinstance(error, GatewayError):
                    return None
                raise
            if refusal is None and second.is_covered:
                run.attempts.append(second)
                return second
            if refusal is None:
                second.give_back()
            if refusal is None or not run.passed_over(offer, refusal):
                run.again.append(offer)
                return None
        return None

    # ---- the race ---------------------------------------------------------------------------------------------------

    async def _faster(self, going: Going) -> Head:
        """The head of the first that has one. Raises the error of the last that fails."""
        while True:
            done, _ = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in going if task in done]:
                attempt, error = going.pop(task), task.exception()
                if error is None:
                    self._count(attempt, "won")
                    await self._let_go(going)
                    return task.result()
                if not going or not isinstance(error, GatewayError):
                    self._count(attempt, "failed")
                    raise error
                self._failed(attempt, error)

    def _failed(self, attempt: Attempt, error: GatewayError) -> None:
        """The other goes on alone."""
        self._count(attempt, "failed")
        self._ended(attempt)
        self._run.failed(attempt, error)
        attempt.settle("failed", None)
        if self._run.line is not None:
            self._run.line.leave(attempt)

    async def _let_go(self, going: Going) -> None:
        """Whom another was faster than. It is settled before anything is waited for, as the client may leave then."""
        run, left = self._run, tuple(going.items())
        going.clear()
        for task, attempt in left:
            if task.done() and isinstance(error := task.exception(), GatewayError):
                self._failed(attempt, error)
                continue
            task.cancel()
            self._count(attempt, "lost")
            self._ended(attempt)
            self._hedging.outrun(attempt)
            if run.line is not None:
                run.line.outrun(attempt)
            run.walk.outran(attempt.offer, attempt.elapsed_ms())
            run.again.append(attempt.offer)  # should what answers break off
            attempt.count_usage()
            attempt.settle("cancelled", Outrun("another began first"))
        for task, attempt in left:
            await _end(task)
            await attempt.close()

    async def _leave(self, going: Going) -> None:
        """The client has gone. The newest attempt is settled and closed with its request."""
        newest = self._run.attempts[-1]
        for task, attempt in going.items():
            task.cancel()
            self._count(attempt, "left")
            if attempt is not newest:
                attempt.count_usage()
                attempt.settle("cancelled", ClientGone("the client went away"))
        for task, attempt in going.items():
            await _end(task)
            if attempt is not newest:
                await attempt.close()

    def _ended(self, attempt: Attempt) -> None:
        """It comes before the other, which goes on."""
        attempts = self._run.attempts
        if attempts[-1] is attempt:
            attempts[-2:] = attempt, attempts[-2]

    def _count(self, attempt: Attempt, outcome: str) -> None:
        if attempt.hedge:
            self._hedging.count(outcome)


async def _is_overdue(attempt: Attempt, opening: Opening, seconds: float) -> bool:
    """Whether nothing has come of it so many seconds after its call."""
    while not opening.done():
        now = clock.monotonic()
        left = (attempt.sent or now) + seconds - now
        if left <= 0:
            return attempt.first_byte_ms < 0
        await asyncio.wait((opening,), timeout=left)
    return False


async def _end(task: "asyncio.Future[Any]") -> None:
    """Whatever it was at; what that ends in nobody wants to know."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()
