"""The story of usage: messages in, each counted once, and questions answered.

One call of ``take`` is one transaction. Whatever happens around it (a crash after the commit, a lost acknowledgement,
a message delivered twice or out of order), counting again is harmless, so a message is acknowledged only when its rows
are on disk, and given back in every other case.
"""

import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from operator import add, attrgetter
from typing import TypeVar

import msgspec
from omni_catalogue import pricebook
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    MOST_LETTERS,
    OF_ATTEMPTS,
    OF_REQUESTS,
    ROLLED,
    TAG,
    Breakdown,
    Charge,
    DeadLetter,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Repriced,
    RequestFound,
    Slice,
    Standing,
    StatementLine,
    Update,
    UsageQuery,
    UsageReport,
)
from omni_wire.errors import DependencyUnavailable, GatewayError, InvalidRequest, WireError
from omni_wire.latency import OVERHEAD, TOTAL, TTFT

from omni_analytics import ports
from omni_analytics.domain import rollup
from omni_analytics.domain.notices import Recipients, nobody
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rows import CLOCK_AHEAD, MAX_ID, AttemptRow, UsageRow
from omni_analytics.ports import (
    Backlog,
    BodiesStore,
    Decoded,
    Decoder,
    Letter,
    Meter,
    UsageLog,
    UsageMessage,
    UsageStore,
)
from omni_analytics.settings import AnalyticsSettings
from omni_analytics.watching import Watchers

logger = logging.getLogger("omniroute.analytics")

Source = TypeVar("Source")

_STARTED, _DURATION = attrgetter("started_ms"), attrgetter("duration_ms")

GRAINS = ("", *rollup.GRAINS)
GROUPS = ("", *ROLLED)
MOST_LISTED = 1000
# Where a page ended: when its last row began, and its id.
CURSOR = re.compile(r"(\d{1,14})-(.{1,200})", re.DOTALL)
MEASURED = (TOTAL, TTFT, OVERHEAD)
DIMENSIONS = (*ROLLED, *OF_REQUESTS)


def _check_times(from_ms: int, until_ms: int) -> None:
    for name, at in (("from", from_ms), ("until", until_ms)):
        if not 0 <= at < 2**62:
            raise InvalidRequest(f"{name} {at} is not a time in epoch milliseconds", param=name)


class Analytics:
    """Satisfies ``AnalyticsPort``; ``now_ms`` is the wall clock, ``clock`` a monotonic one in seconds;
    ``notify`` says which webhooks are to be told of a limit; ``log`` is told of rows as they are stored."""

    def __init__(
        self,
        store: UsageStore,
        decode: Decoder,
        letters: ports.DeadLetters,
        meter: Meter,
        backlog: Backlog,
        settings: AnalyticsSettings,
        *,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        watchers: Watchers,
        bodies: BodiesStore,
        notify: Recipients = nobody,
        log: UsageLog | None = None,
    ) -> None:
        self._watchers = watchers
        self._log = log
        self._bodies = bodies
        self._store = store
        self._decode = decode
        self._letters = letters
        self._meter = meter
        self._backlog = backlog
        self._settings = settings
        self._now_ms = now_ms
        self._clock = clock
        self._notify = notify

    async def query(self, query: UsageQuery) -> UsageReport:
        """Raises ``InvalidRequest`` for an unknown ``group_by`` or ``grain``, a time before the epoch, and too many
        points."""
        _known("group_by", query.group_by, GROUPS)
        _known("grain", query.grain, GRAINS)
        _check_times(query.from_ms, query.until_ms)
        return await self._store.query(query)

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        """Raises ``InvalidRequest`` for what there is not, and names what there is."""
        _known("grain", asked.grain, GRAINS)
        _check_times(asked.from_ms, asked.until_ms)
        for name in asked.dimensions:
            _known("dimension", name, DIMENSIONS)
        for name in asked.filters:
            _known("filter", name, (*DIMENSIONS, TAG))
        for name in asked.latency:
            _known("latency", name, MEASURED)
        if len(set(asked.dimensions)) < len(asked.dimensions):
            raise InvalidRequest("a dimension stands there twice", param="dimension")
        return await self._store.breakdown(asked)

    def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        return self._watchers.live(key_ids, after)

    async def listed(self, asked: Listing) -> Listed:
        """Raises ``InvalidRequest`` for what there is not, and names what there is."""
        _known("kind", asked.kind, ("request", "attempt"))
        _check_times(asked.from_ms, asked.until_ms)
        for name in asked.filters:
            _known("filter", name, (*(DIMENSIONS if asked.kind == "request" else OF_ATTEMPTS), TAG))
        if not 0 < asked.limit <= MOST_LISTED:
            raise InvalidRequest(f"limit is from 1 to {MOST_LISTED}", param="limit")
        if asked.after and not CURSOR.fullmatch(asked.after):
            raise InvalidRequest("after is not the next of a page", param="after")
        return await self._store.listed(asked)

    async def key_use(self) -> dict[str, KeyUse]:
        return await self._store.key_use()

    async def standing(self) -> Standing:
        return Standing(await self._backlog(), await self._store.kept_from_ms())

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        found: list[DeadLetter] = []
        letter = await self._letters.behind(after)
        while letter is not None and len(found) < min(limit, MOST_LETTERS):
            decoded, size = self._decode(letter.data), len(letter.data)
            about = letter.id, letter.at_ms, letter.reason, letter.deliveries
            found.append(DeadLetter(*about, size, len(decoded.rows) + len(decoded.reached), decoded.fault))
            letter = await self._letters.behind(letter.id)
        following = found[-1].id if found and letter is not None else 0
        return DeadLetters(tuple(found), await self._counted_letters(), following)

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        counted, stayed = list[int](), dict[int, str]()
        for letter in await self._letters_of(ids):
            ((_, decoded),) = self._dated([(letter, self._decode(letter.data))])
            fault = await self._count_alone(decoded)
            if fault:
                stayed[letter.id] = fault
                continue
            await self._tell(decoded.reached)
            await self._letters.forget(letter.id)  # if this fails it is counted again: as nothing
            counted.append(letter.id)
            logger.info("counted a message that was put aside", extra={"fields": {"letter": letter.id}})
        self._meter.redriven("counted", len(counted))
        self._meter.redriven("stayed", len(stayed))
        await self._counted_letters()
        return Redriven(tuple(counted), stayed)

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        letters = await self._letters_of(ids)
        for letter in letters:
            await self._letters.forget(letter.id)
            told = {"letter": letter.id, "reason": letter.reason, "bytes": len(letter.data)}
            logger.warning("discarded a usage message that was never counted", extra={"fields": told})
        self._meter.redriven("discarded", len(letters))
        await self._counted_letters()
        return tuple(letter.id for letter in letters)

    async def _letters_of(self, ids: tuple[int, ...]) -> list[Letter]:
        """Those that there are."""
        if len(ids) > MOST_LETTERS:
            raise InvalidRequest(f"these are more than {MOST_LETTERS} letters", param="ids")
        found = [(id_, await self._letters.behind(id_ - 1)) for id_ in sorted({*ids}) if id_ > 0]
        return [letter for id_, letter in found if letter is not None and letter.id == id_]

    async def _counted_letters(self) -> int:
        count = await self._letters.count()
        self._meter.dead(count)
        return count

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        return await self._store.find_request(id_, key_ids) if 0 < len(id_) <= MAX_ID else None

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        return tuple(await self._bodies.find(id_, key_ids, self._now_ms())) if 0 < len(id_) <= MAX_ID else ()

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        return await self._bodies.forget(id_, key_ids) if 0 < len(id_) <= MAX_ID else 0

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        """Raises ``InvalidRequest`` for more than there are on a page."""
        if not 0 < asked.most <= MOST_LISTED + 1:  # a page, and whether there is another
            raise InvalidRequest(f"most: must be from 1 to {MOST_LISTED + 1}", param="most")
        return await self._store.limit_events(asked)

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        _check_times(from_ms, until_ms)
        if not from_ms < until_ms <= from_ms - from_ms % rollup.DAY_MS + rollup.DAY_MS:
            raise InvalidRequest("a repricing is of some time within one day of UTC", param="from")
        try:
            prices = pricebook.decode(book)
        except WireError as error:
            raise InvalidRequest(str(error), param="book") from error
        return await self._store.reprice(from_ms, until_ms, prices, apply=apply)

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        _check_times(from_ms, until_ms)
        return await self._store.charges(from_ms, until_ms)

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        _check_times(from_ms, until_ms)
        if not from_ms < until_ms or from_ms % rollup.DAY_MS or until_ms % rollup.DAY_MS:
            raise InvalidRequest("a statement is of whole days of UTC", param="from")
        return await self._store.statement(provider, from_ms, until_ms)

    async def take(self, messages: Sequence[UsageMessage]) -> None:
        """Count what ``messages`` carry and settle each with the bus.

        Raises ``DependencyUnavailable`` when the store cannot keep it: the messages were given back.
        """
        try:
            outcomes = await self._count(messages)
        except DependencyUnavailable:
            for message in messages:
                await self._settle(message.nak(self._settings.retry_delay))
            raise
        for message, fault in outcomes:
            if fault:
                await self._refuse(message, fault)
            else:
                await self._settle(message.ack())

    async def _count(self, messages: Sequence[UsageMessage]) -> list[tuple[UsageMessage, str]]:
        """Every message with what is wrong with it; what is right in it is on disk."""
        decoded = self._dated([(message, self._decode(message.data)) for message in messages])
        await self._tell([reached for _, found in decoded for reached in found.reached])
        try:
            await self._record([row for _, found in decoded for row in found.rows], len(messages))
        except WireError:
            # One row spoils the transaction of all: find the message it came in.
            return [(message, await self._count_alone(found)) for message, found in decoded]
        return [(message, found.fault) for message, found in decoded]

    async def _tell(self, reached: Sequence[Reached]) -> None:
        for news in await self._store.keep_reached(reached, self._notify) if reached else ():
            self._meter.reached(news.of)
            logger.warning("a limit is used to %d %%", news.percent, extra={"fields": msgspec.structs.asdict(news)})

    async def _count_alone(self, found: Decoded) -> str:
        try:
            await self._record(found.rows, 1)
        except WireError as error:
            return f"cannot be stored: {error}"
        return found.fault

    async def _record(self, rows: Sequence[UsageRow], messages: int) -> None:
        began = self._clock()
        recorded = await self._store.record(rows)
        self._meter.committed(recorded, messages, self._clock() - began)
        if self._log is not None:
            await self._log.write(rows)
        if recorded.requests_stored:
            self._watchers.stored(rows, again=recorded.requests_ignored > 0)
        if rows:
            oldest = min(map(add, map(_STARTED, rows), map(_DURATION, rows)))
            self._meter.behind(max(0.0, (self._now_ms() - oldest) / 1000))

    def _dated(self, found: list[tuple[Source, Decoded]]) -> list[tuple[Source, Decoded]]:
        """Attempts that are yet to begin are marked: their router's clock is wrong, or ours. They stand where they say,
        for moving them would count a second delivery as another."""
        latest = self._now_ms() + self._settings.clock_slack * 1000
        ahead = sum(row.started_ms > latest for _, decoded in found for row in decoded.rows)
        if not ahead:
            return found
        self._meter.ahead(ahead)
        logger.warning("usage of the future was recorded", extra={"fields": {"rows": ahead}})
        return [(source, msgspec.structs.replace(each, rows=_marked(each.rows, latest))) for source, each in found]

    async def _refuse(self, message: UsageMessage, reason: str) -> None:
        """Try a faulty message again later (a newer version of us may understand it), then put it aside for good."""
        if message.num_delivered < self._settings.max_deliveries:
            delay = self._settings.retry_delay * 2 ** (message.num_delivered - 1)
            await self._settle(message.nak(min(delay, self._settings.retry_delay_max)))
            return
        try:
            await self._letters.bury(message.data, reason, message.num_delivered)
        except DependencyUnavailable:
            await self._settle(message.nak(self._settings.retry_delay_max))
            return
        self._meter.buried()
        with contextlib.suppress(DependencyUnavailable):
            await self._counted_letters()
        logger.warning("put a usage message aside", extra={"fields": {"reason": reason, "bytes": len(message.data)}})
        await self._settle(message.term())

    async def _settle(self, answer: Awaitable[None]) -> None:
        try:
            await answer
        except GatewayError as error:
            # The bus delivers it again, and it is counted no second time.
            logger.debug("could not answer for a message", extra={"fields": {"error": error.message}})


def _known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidRequest(f"{name} {value!r} is not one of {', '.join(filter(None, known))}", param=name)


def _marked(rows: Sequence[UsageRow], latest: int) -> tuple[UsageRow, ...]:
    return tuple(
        msgspec.structs.replace(row, suspect=row.suspect or CLOCK_AHEAD)
        if isinstance(row, AttemptRow) and row.started_ms > latest
        else row
        for row in rows
    )
