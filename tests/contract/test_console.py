"""The last lines of any process' log, over a real NATS."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from omni_core.bus import Bus
from omni_core.console import ConsoleAnswers, console_of, subject_of
from omni_core.log_ring import LogLine, LogRing
from omni_wire.errors import DependencyUnavailable, InvalidRequest


def ring(*texts: str) -> LogRing:
    made = LogRing()
    made.setFormatter(logging.Formatter("%(message)s"))
    for text in texts:
        made.handle(logging.LogRecord("omniroute", logging.INFO, "", 0, text, (), None))
    return made


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    made = Bus(nats_url, name="asking")
    yield made
    await made.close()


async def soon(bus: Bus, instance: str, before: int = 0, limit: int = 100, text: str = "") -> list[LogLine]:
    """Once it listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await console_of(bus, instance, before, limit, text)
            except InvalidRequest:
                await asyncio.sleep(0.05)


async def test_each_process_answers_for_itself_and_pages_go_back(bus: Bus) -> None:
    router = ConsoleAnswers(bus, "router-1", ring("one", "two", "three"))
    quota = ConsoleAnswers(bus, "quota-1", ring("of quota"))
    await router.start()
    await quota.start()
    assert await soon(bus, "router-1", limit=2) == [LogLine(3, "three"), LogLine(2, "two")]
    assert await soon(bus, "router-1", before=2) == [LogLine(1, "one")]
    assert await soon(bus, "router-1", text="wo") == [LogLine(2, "two")]
    assert [line.text for line in await soon(bus, "quota-1")] == ["of quota"]
    await router.stop()
    with pytest.raises(InvalidRequest) as raised:
        await console_of(bus, "router-1", 0, 1, "")
    assert raised.value.status == 404
    await quota.stop()


async def test_an_answer_fits_into_one_message_however_long_lines_are(bus: Bus) -> None:
    answers = ConsoleAnswers(bus, "router-1", ring(*("x" * 100_000 for _ in range(50))))
    await answers.start()
    found = await soon(bus, "router-1", limit=500)
    assert [line.number for line in found] == list(range(50, 50 - len(found), -1))
    assert 5 <= len(found) < 10
    await answers.stop()


async def test_what_is_no_question_is_answered_with_nothing(bus: Bus) -> None:
    answers = ConsoleAnswers(bus, "router-1", ring("one"))
    await answers.start()
    await soon(bus, "router-1")
    assert await bus.ask(subject_of("router-1"), b"\xff", 5.0) == b"[]"
    assert await soon(bus, "router-1") == [LogLine(1, "one")]
    await answers.stop()


async def test_that_nats_is_away_is_told() -> None:
    away = Bus("nats://127.0.0.1:1", name="away")
    with pytest.raises(DependencyUnavailable):
        await console_of(away, "router-1", 0, 1, "")
    await away.close()
