"""What is stored, as lines of JSON in files too, for whoever reads those better: ``requests.jsonl`` and
``proxy.jsonl`` (calls to providers) in ``OMNIROUTE_ANALYTICS_LOG_DIR``.

A line is written after its row is in the store and before its message is acknowledged. So it is there for every row;
what is delivered again is known by its id and ``seq``, as long as it is among the last lines, from before a restart
too. An event that was corrected has a line for each ``seq``.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from omni_core.turning_file import Turning, TurningFile
from omni_wire.errors import InvalidRequest

from omni_analytics.domain.rows import RequestRow, UsageRow

logger = logging.getLogger("omniroute.analytics")

DIRECTORY, PREFIX = "OMNIROUTE_ANALYTICS_LOG_DIR", "OMNIROUTE_ANALYTICS_LOG"
# Lines whose ids are remembered, of each file: far more than a delivery again is behind.
MOST_KNOWN = 20_000


class _Line(msgspec.Struct):
    """What a line is known by."""

    id: str
    seq: int


_known = msgspec.json.Decoder(_Line)


class LogFiles:
    """Opens what it needs with the first rows. A disk that refuses is told in the log, once, and holds up nothing:
    what comes meanwhile is in the store alone."""

    def __init__(self, directory: Path, turning: Turning) -> None:
        self._directory, self._turning = directory, turning
        self._logs: dict[str, _Log] = {}
        self._failed = False

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """Returns when they are on disk."""
        await asyncio.to_thread(self._write, rows)

    def close(self) -> None:
        for log in self._logs.values():
            log.file.close()

    def _write(self, rows: Sequence[UsageRow]) -> None:
        requests = [row for row in rows if type(row) is RequestRow]
        calls = [row for row in rows if type(row) is not RequestRow]
        try:
            for name, some in (("requests", requests), ("proxy", calls)):
                if some:
                    self._log(name).write(some)
            self._failed = False
        except OSError as error:
            if not self._failed:
                told = {"folder": str(self._directory), "error": error.strerror}
                logger.error("what is stored cannot be written to log files", extra={"fields": told})
            self._failed = True

    def _log(self, name: str) -> "_Log":
        if name not in self._logs:
            self._logs[name] = _Log(TurningFile(self._directory / f"{name}.jsonl", self._turning))
        return self._logs[name]


class _Log:
    """One file, and which lines were written there last."""

    def __init__(self, file: TurningFile) -> None:
        self.file = file
        self._last: OrderedDict[tuple[str, int], None] = OrderedDict()
        for path in file.files():
            with path.open("rb") as lines:
                self._remember(_read(lines))

    def write(self, rows: Sequence[UsageRow]) -> None:
        new = {(row.id, row.seq): row for row in rows if (row.id, row.seq) not in self._last}
        self.file.write([msgspec.json.encode(_fields(row)) + b"\n" for row in new.values()], sync=True)
        self._remember(new)

    def _remember(self, known: Iterable[tuple[str, int]]) -> None:
        for each in known:
            self._last[each] = None
            if len(self._last) > MOST_KNOWN:
                self._last.popitem(last=False)


def _read(lines: Iterable[bytes]) -> Iterable[tuple[str, int]]:
    for line in lines:
        try:
            found = _known.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):  # cut by a power failure
            continue
        yield found.id, found.seq


def _fields(row: UsageRow) -> dict[str, object]:
    """As the row has them, but for what is said of a decision, which is at /api/requests."""
    found = {name: getattr(row, name) for name in row.__struct_fields__ if name != "decision"}
    for name in ("losses", "apart"):  # JSON already
        if name in found:
            found[name] = msgspec.Raw(str(found[name]).encode()) if found[name] else None
    return found


def log_files(env: Mapping[str, str]) -> LogFiles | None:
    """None where ``OMNIROUTE_ANALYTICS_LOG_DIR`` is not set. Raises ``InvalidRequest``."""
    folder = env.get(DIRECTORY, "").strip()
    if not folder:
        return None
    try:
        return LogFiles(Path(folder).expanduser().absolute(), Turning.from_env(env, PREFIX))
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
