"""The last lines of any process' log, asked for over NATS: each answers for itself, while it runs, and sends nothing
unasked. What a process that is gone has written is in its log file, or wherever its stderr went."""

import asyncio

import msgspec
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_core.bus import Bus
from omni_core.log_ring import LogLine, LogRing

SUBJECT = "omniroute.logs"
# Seconds.
ANSWER_WITHIN = 3.0
STOP_WITHIN = 1.0
# Bytes of an answer: a message of NATS has 1 MiB unless it is configured otherwise.
_MOST = 900_000


class _Question(msgspec.Struct):
    before: int = 0
    limit: int = 100
    text: str = ""


_question, _answer = msgspec.json.Decoder(_Question), msgspec.json.Decoder(list[LogLine])


def subject_of(instance: str) -> str:
    """``instance`` begins with what the process runs, "router-…": so NATS can hold it to its own."""
    return f"{SUBJECT}.{instance.partition('-')[0]}.{instance}"


class ConsoleAnswers:
    """Answers for this process from ``start`` to ``stop``; NATS may come and go."""

    def __init__(self, bus: Bus, instance: str, ring: LogRing) -> None:
        self._bus, self._instance, self._ring = bus, instance, ring
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once."""
        answering = self._bus.answer(subject_of(self._instance), self._lines)
        self._task = asyncio.get_running_loop().create_task(answering, name="console")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_WITHIN)

    def _lines(self, data: bytes) -> bytes:
        try:
            asked = _question.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return b"[]"
        found, size = list[LogLine](), 0
        for line in self._ring.newest(asked.before, min(max(asked.limit, 0), 1000), asked.text):
            size += len(line.text.encode()) + 40
            if size > _MOST:
                break
            found.append(line)
        return msgspec.json.encode(found)


async def console_of(bus: Bus, instance: str, before: int, limit: int, text: str) -> list[LogLine]:
    """Lines of a process' log, newest first: at the most so many, and perhaps fewer where they are long. Raises
    ``InvalidRequest`` (404) where no such process answers, ``DependencyUnavailable`` where NATS is away."""
    asked = msgspec.json.encode(_Question(before, limit, text))
    answer = await bus.ask(subject_of(instance), asked, ANSWER_WITHIN)
    if answer is None:
        told = f"no process '{instance}' answers; /api/system has those that there are"
        raise InvalidRequest(told, status=404, code="not_found", param="process")
    try:
        return _answer.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DependencyUnavailable(f"the process '{instance}' gave no answer that can be read") from error
