"""The audit log as lines of JSON in a file too: ``audit.jsonl`` in ``OMNIROUTE_AUTH_LOG_DIR``.

It follows the database: what is behind the last line of the file is appended, each entry once and in order, whoever
wrote it and however often auth starts anew. A file that is new gets all there is.
"""

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from omni_core.turning_file import Turning, TurningFile
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_auth.adapters.store.audit import AuditLog
from omni_auth.domain.audit import Entry

log = logging.getLogger("omniroute.auth")

DIRECTORY, PREFIX = "OMNIROUTE_AUTH_LOG_DIR", "OMNIROUTE_AUTH_LOG"
# Seconds between two looks; entries a page.
EVERY, PAGE = 1.0, 500


class _Line(msgspec.Struct):
    number: int


_numbered = msgspec.json.Decoder(_Line)


class AuditFile:
    """From ``start`` to ``stop``. What fails is told once, and tried again."""

    def __init__(self, audit: AuditLog, directory: Path, turning: Turning) -> None:
        self._audit, self._path, self._turning = audit, directory / "audit.jsonl", turning
        self._file: TurningFile | None = None
        self._last = 0
        self._told = ""
        self._alone = threading.Lock()  # a thread outlives the task that waits for it
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="audit-file")

    async def stop(self) -> None:
        """With what was done last."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        with suppress(DependencyUnavailable, OSError):
            await asyncio.to_thread(self.catch_up)
        if self._file is not None:
            self._file.close()

    def catch_up(self) -> None:
        """Blocks. Raises ``DependencyUnavailable`` and ``OSError``."""
        with self._alone:
            if self._file is None:
                file = TurningFile(self._path, self._turning)
                self._last = max(map(_last_number, file.files()), default=0)
                self._file = file
            while entries := self._audit.following(self._last, PAGE):
                self._file.write([_line(entry) for entry in entries], sync=True)
                self._last = entries[-1].seq

    async def _follow(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.catch_up)
                self._told = ""
            except (DependencyUnavailable, OSError) as error:
                self._trouble(str(error))
            await asyncio.sleep(EVERY)

    def _trouble(self, why: str) -> None:
        if self._told != why:
            log.error("the audit log cannot be written to its file", extra={"fields": {"why": why}})
        self._told = why


def _line(entry: Entry) -> bytes:
    """In the words of ``GET /api/audit``."""
    told = {
        "number": entry.seq, "at": entry.at, "organisation": entry.organisation, "actor": entry.actor,
        "action": entry.action, "target": entry.target, "before": msgspec.Raw(entry.before.encode() or b"null"),
        "after": msgspec.Raw(entry.after.encode() or b"null"), "previous": entry.previous.hex(),
        "hash": entry.hash.hex(),
    }  # fmt: skip
    return msgspec.json.encode(told) + b"\n"


def _last_number(path: Path) -> int:
    number = 0
    with path.open("rb") as lines:
        for line in lines:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # cut by a power failure
                number = _numbered.decode(line).number
    return number


def audit_file(audit: AuditLog, env: Mapping[str, str]) -> AuditFile | None:
    """None where ``OMNIROUTE_AUTH_LOG_DIR`` is not set. Raises ``InvalidRequest``."""
    folder = env.get(DIRECTORY, "").strip()
    if not folder:
        return None
    try:
        return AuditFile(audit, Path(folder).expanduser().absolute(), Turning.from_env(env, PREFIX))
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
