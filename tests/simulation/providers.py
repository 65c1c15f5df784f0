"""Providers in virtual time: each account in a mood that changes, and books of what it was asked and would bill."""

import asyncio
import json
import math
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from random import Random

import msgspec
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_router.ports import UpstreamRequest
from omni_wire.errors import (
    DependencyUnavailable,
    StreamInterrupted,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omni_wire.formats import WireFormat

from tests.simulation import speech
from tests.simulation.auditor import Auditor
from tests.simulation.speech import Asked
from tests.simulation.store import Trace

MOODS = (
    *("healthy", "healthy", "healthy", "slow", "slow", "hanging", "stalling", "resetting", "unreachable"),
    *("refusing", "limited", "limited and telling", "failing", "overloaded", "overloaded and telling", "objecting"),
    *("cutting", "cutting", "cutting", "garbled", "garbled in mid-stream", "erring", "empty", "spent"),
)
_STATUS = {
    "refusing": (401, "no such key"),
    "limited": (429, "slow down"),
    "limited and telling": (429, "slow down"),
    "failing": (500, "oops"),
    "overloaded": (503, "busy"),
    "overloaded and telling": (503, "busy"),
    "objecting": (400, "not like this"),
}
_PREFIX = "secret-of-"


class Credentials:
    """``AuthPort``, as far as a router needs it; of half of the seeds it is away for a while. ``away`` is when it was
    asked then."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._from = chance.choice((chance.uniform(0.0, 100.0), math.inf))
        self._until = self._from + chance.uniform(5.0, 40.0)
        self.away: list[float] = []

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        await asyncio.sleep(self._chance.uniform(0.001, 0.05))
        now = asyncio.get_running_loop().time()
        if self._from <= now < self._until:
            self.away.append(now)
            raise DependencyUnavailable("auth is away", retry_after=1.0)
        return Credential(_PREFIX + account_id, "1")


class Moods:
    """``changes`` are the moments and the moods from then on; the first is at 0."""

    def __init__(self, changes: list[tuple[float, str]]) -> None:
        self._times, self._moods = [at for at, _ in changes], [mood for _, mood in changes]

    def at(self, now: float) -> str:
        return self._moods[bisect_right(self._times, now) - 1]

    @property
    def steady(self) -> bool:
        return set(self._moods) == {"healthy"}


class Billed(msgspec.Struct):
    """One call. ``output`` grows while the provider speaks and is heard."""

    attempt: str
    account: str
    mood: str
    status: int = 0
    input: int = 0
    output: int = 0


class Providers:
    """``Upstream``, for all routers; ``formats`` by provider, ``moods`` by account."""

    def __init__(
        self, formats: dict[str, WireFormat], moods: dict[str, Moods], chance: Random, auditor: Auditor, trace: Trace
    ) -> None:
        self.formats, self.moods, self.bills = formats, moods, list[Billed]()
        self._chance, self._auditor, self._trace = chance, auditor, trace

    async def send(self, request: UpstreamRequest) -> "Answer":
        loop, chance = asyncio.get_running_loop(), self._chance
        now = loop.time()
        key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers["x-api-key"]
        account = key.removeprefix(_PREFIX)
        mood = self.moods[account].at(now)
        attempt = self._auditor.called(request.headers["x-request-id"], account)
        bill = Billed(attempt, account, mood)
        self.bills.append(bill)
        self._trace.add("call", now, attempt, account, mood)
        begin_by = now + min(request.begin_within or math.inf, request.timeouts.total)
        head_at = now + (chance.uniform(0.5, 9.0) if mood == "slow" else chance.uniform(0.02, 0.6))
        if mood == "hanging":
            head_at = math.inf
        await asyncio.sleep(min(head_at, begin_by) - now)
        if head_at > begin_by:
            raise UpstreamTimeout("the provider gave no answer in time")
        if mood == "unreachable":
            raise UpstreamUnreachable("nobody is there")
        if mood == "resetting":
            raise StreamInterrupted("cut before the head")
        answer = Answer(request, bill, begin_by)
        self._compose(answer, speech.read_request(request.body), self.formats[account.partition("/")[0]])
        return answer

    def _compose(self, answer: "Answer", asked: Asked, dialect: WireFormat) -> None:
        chance, bill, mood = self._chance, answer.bill, answer.bill.mood
        headers = {"content-type": "application/json"}
        if mood.endswith("and telling"):
            headers["retry-after"] = str(chance.randint(1, 25))
        if mood == "spent":
            headers |= {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": f"{chance.randint(1, 20)}s",
            }
        answer.status, saying = _STATUS.get(mood, (200, ""))
        answer.headers, bill.status = headers, answer.status
        if answer.status != 200:
            answer.script = [(chance.uniform(0, 0.1), json.dumps({"error": {"message": saying}}).encode(), 0)]
            return
        tokens, finish = self._words(asked, mood)
        bill.input = len(answer.request.body) // 5 + 1
        spent = (bill.input, len(tokens))
        if asked.stream:
            headers["content-type"] = "text/event-stream"
            self._stream(answer, speech.events(dialect, tokens, finish, spent), dialect)
        else:
            self._whole(answer, speech.whole(dialect, tokens, finish, spent), len(tokens))

    def _words(self, asked: Asked, mood: str) -> tuple[list[str], str]:
        """What is left to say; of an answer that goes on, sometimes with the end of what was said, or all of it, again,
        though not by who goes on in its own words."""
        chance, at = self._chance, len(asked.said)
        assert asked.text.startswith(asked.said), asked
        room = not 0 < asked.limit < 20  # for the end of what was said and more; half of it would be no repetition
        if at >= 24 and mood != "healthy" and not asked.prefilled and room:
            at = chance.choice((at, at, at - chance.randint(9, 16), 0))
        tokens = speech.tokens_of(asked.text[at:], chance)
        return (tokens[: asked.limit], "length") if 0 < asked.limit < len(tokens) else (tokens, "stop")

    def _stream(self, answer: "Answer", events: list[tuple[bytes, int]], dialect: WireFormat) -> None:
        chance, mood = self._chance, answer.bill.mood
        pace, at, broken = (1.5 if mood == "slow" else 0.15), 0.0, chance.randint(0, len(events) - 1)
        if mood == "empty":
            events = []
        for number, (data, tokens) in enumerate(events):
            at += chance.uniform(0.0, pace)
            if number == broken:
                if mood in ("cutting", "stalling"):
                    answer.script.append((at, data[: chance.randint(0, len(data) - 1)], 0))
                    answer.ends = "cut" if mood == "cutting" else "silent"
                    return
                if mood in ("garbled in mid-stream", "erring"):
                    said = b"data: {oh no\n\n" if mood != "erring" else speech.error_event(dialect)
                    answer.script.append((at, said, 0))
                    return
            if mood == "garbled":
                data = data.replace(b'"', b"%")
            half = chance.randint(0, len(data)) if chance.random() < 0.3 else 0
            if half:
                answer.script.append((at, data[:half], 0))
                at += chance.uniform(0.0, 0.02)
            answer.script.append((at, data[half:], tokens))

    def _whole(self, answer: "Answer", data: bytes, tokens: int) -> None:
        chance, mood = self._chance, answer.bill.mood
        at = chance.uniform(0.0, 12.0 if mood == "slow" else 1.0)
        if mood in ("garbled", "garbled in mid-stream"):
            data = data[: chance.randint(0, len(data) - 2)]
        elif mood == "empty":
            data = b"{}"
        elif mood == "erring":
            data = b'{"error": {"type": "overloaded_error", "message": "too much to do"}}'
        elif mood in ("cutting", "stalling"):
            data, answer.ends = data[: chance.randint(0, len(data) - 1)], "cut" if mood == "cutting" else "silent"
        answer.script = [(at, data, tokens)]


class Answer:
    """``UpstreamAnswer``. ``script`` is what comes when, in seconds after the head, with how many tokens."""

    status = 200
    headers: Mapping[str, str] = {}
    ends = ""  # "cut" or "silent" for one that breaks

    def __init__(self, request: UpstreamRequest, bill: Billed, begin_by: float) -> None:
        self.request, self.bill = request, bill
        self.script: list[tuple[float, bytes, int]] = []
        self._headed, self._begin_by, self._at = asyncio.get_running_loop().time(), begin_by, 0
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    async def read(self, limit: int) -> bytes:
        parts = []
        while (data := await self._next(self._begin_by)) is not None:
            parts.append(data)
        return b"".join(parts)[:limit]

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        while (data := await self._next(self._begin_by or loop.time() + self.request.timeouts.idle)) is not None:
            if data:
                return data
        raise StopAsyncIteration

    def begun(self) -> None:
        self._begin_by = 0.0

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def _next(self, deadline: float) -> bytes | None:
        """Raises ``UpstreamError``."""
        if self._closed:
            raise StreamInterrupted("the answer was given up")
        if self._at < len(self.script):
            after, data, tokens = self.script[self._at]
            await self._until(self._headed + after, deadline)
            self._at += 1
            self.bill.output += tokens
            return data
        if self.ends == "silent":
            await self._until(math.inf, deadline)
        if self.ends == "cut":
            raise StreamInterrupted("cut")
        return None

    async def _until(self, due: float, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if min(due, deadline) > loop.time():
            self._waiter = loop.create_future()
            timer = loop.call_at(min(due, deadline), self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
        if self._closed:
            raise StreamInterrupted("the answer was given up")
        if due > deadline:
            raise self._overdue()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _overdue(self) -> UpstreamError:
        return UpstreamTimeout("the provider fell silent")
