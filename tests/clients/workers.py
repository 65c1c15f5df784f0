"""Clients that are programs of their own: started once, then a job a line in, a report a line out.

Line in: ``{"url", "key", "client", "job"}``; line out: a ``Report``.
"""

import subprocess
import threading
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import msgspec

from tests.clients import javascript, python_frameworks
from tests.clients.clients import PYTHON, Row
from tests.clients.door import Door
from tests.clients.jobs import Job, Report

_ROOT = Path(__file__).parents[2]
_WITHIN = 180.0  # the first job waits for the program, whose imports take long on a busy machine


def all_clients() -> list[Row]:
    return [*PYTHON, *javascript.CLIENTS, *python_frameworks.CLIENTS]


def versions(rows: Iterable[Row]) -> dict[str, str]:
    """What was tried: package and version."""
    found = {f"{row.sdk} (Python)": version(row.sdk) for row in rows if row.run is not None}
    return found | javascript.versions() | python_frameworks.versions()


def program(row: Row) -> tuple[str, ...]:
    """What runs a client; nothing where it runs here."""
    if row.run is not None:
        return ()
    return tuple(javascript.command() if row.language == "javascript" else python_frameworks.command(row.sdk))


class Worker:
    """Raises ``RuntimeError`` from ``ask`` when the program ended or said nothing for three minutes."""

    def __init__(self, row: Row, door: Door) -> None:
        self._door = door
        self._program = subprocess.Popen(program(row), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, client: str, job: Job) -> Report:
        asked = {"url": self._door.url, "key": self._door.key_for(job), "client": client, "job": job}
        stdin, stdout = self._program.stdin, self._program.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the client has no pipes")
        watch = threading.Timer(_WITHIN, self._program.kill)
        watch.start()
        try:
            stdin.write(msgspec.json.encode(asked) + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError as error:
            raise RuntimeError(f"{client} ended") from error
        finally:
            watch.cancel()
        if not line:
            raise RuntimeError(f"{client} ended, or was silent for {_WITHIN:.0f} s")
        return msgspec.json.decode(line, type=Report)

    def close(self) -> None:
        if self._program.stdin is not None:
            self._program.stdin.close()
        try:
            self._program.wait(10)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait(10)
