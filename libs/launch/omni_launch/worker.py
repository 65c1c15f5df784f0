"""One worker: a process that serves the supervisor's listening socket.

It inherits two sockets that listen: the public one, which it shares with the others, and one on loopback of its own,
where the supervisor asks how it is. Its stdin is a pipe that ends when the supervisor is gone, however it went: then
the worker drains. Its stdout is a pipe on which it leaves its last page of /metrics; what it has to say goes to stderr.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping

import msgspec
from omni_core.admin_http import Readiness
from omni_core.component import Check

ASK_WITHIN = 2.0  # seconds for /healthz and /readyz
# Seconds for /metrics: whoever scrapes us waits for the slowest, and the numbers that one had are good enough.
NUMBERS_WITHIN = 2.0
_LOOPBACK = "127.0.0.1"

# What is the supervisor's and would mean something else to a worker.
_NOT_FOR_WORKERS = ("OMNIROUTE_WORKERS", "OMNIROUTE_ADMIN_PORT")


class Worker:
    """``number`` is its place among the others; one that follows it there has the same. ``started`` says whether it
    takes connections, ``checks`` what its /readyz said last, ``numbers`` its /metrics; ``heard`` whether it ever
    answered, ``silent`` for how many seconds it was asked in vain, ``end`` how it ended, "" while it lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.started = False
        self.ready = False
        self.checks: dict[str, dict[str, Check]] = {}
        self.numbers = ""
        self.told = False  # to end
        self.heard = False
        self.silent = 0.0
        self.end = ""
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._last: asyncio.Task[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def name(self) -> str:
        return f"worker {self.number} (pid {self.pid})"

    async def start(self, arguments: list[str], env: Mapping[str, str], public: socket.socket) -> None:
        """Start the process; it is asked for anything only by the methods below. Raises ``OSError``."""
        with socket.create_server((_LOOPBACK, 0)) as own:
            self._port = own.getsockname()[1]
            given = {
                **{name: value for name, value in env.items() if name not in _NOT_FOR_WORKERS},
                "OMNIROUTE_WORKER": str(self.number),
                "OMNIROUTE_LISTEN_FD": str(public.fileno()),
                "OMNIROUTE_ADMIN_FD": str(own.fileno()),
            }
            # A session of its own: Ctrl-C in the terminal is for the supervisor. -P: a file in this folder that is
            # called like a module of ours must not be taken for it.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "omni_launch", *arguments,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                pass_fds=(public.fileno(), own.fileno()), env=given, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._last = asyncio.create_task(self._process.stdout.read())

    async def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal. ``numbers`` are then the last it had."""
        if self._process is None or self._last is None:
            raise RuntimeError("start comes first")
        code = await self._process.wait()
        self.started = self.ready = False
        self.end = f"signal {-code}" if code < 0 else f"exit code {code}"
        if last := (await self._last).decode("utf-8", "replace"):
            self.numbers = last
        return code

    def terminate(self) -> None:
        """Let it drain."""
        self.told = True
        self._send(signal.SIGTERM)

    def kill(self, *, told: bool = True) -> None:
        """``told`` false is for one that nobody wants to end, but to be replaced."""
        self.told = self.told or told
        self._send(signal.SIGKILL)

    async def ask(self) -> None:
        """Look at its /readyz."""
        try:
            async with asyncio.timeout(ASK_WITHIN):
                _, body = await self._get(b"/readyz")
            answer = msgspec.json.decode(body, type=Readiness)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            self.ready = False
            # Only what was waited for is counted, not the time since the last answer: we may have slept ourselves.
            self.silent += ASK_WITHIN if isinstance(error, TimeoutError) else 0.0
            detail = f"no answer within {ASK_WITHIN:g} s" if self.heard else "does not answer yet"
            self.checks = {"process": {"answers": Check(False, detail)}}
            return
        self.heard, self.silent = True, 0.0
        self.checks, self.ready = answer.components, answer.ready
        self.started = self.started or accepts(answer)

    async def count(self) -> None:
        """Fetch its numbers; those it had stay when it does not answer, as it is known to do."""
        if self.silent:
            return
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(NUMBERS_WITHIN):
                status, body = await self._get(b"/metrics")
            if status == 200 and self._process is not None and self._process.returncode is None:
                self.numbers = body.decode("utf-8")

    async def _get(self, path: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(_LOOPBACK, self._port)
        try:
            writer.write(b"GET %b HTTP/1.1\r\n\r\n" % path)
            head = await reader.readuntil(b"\r\n\r\n")
            return int(head.split(b" ", 2)[1]), await reader.read()
        finally:
            writer.close()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def accepts(answer: Readiness) -> bool:
    """Whether the process takes requests, well or not: it has started, and was not told to end."""
    return answer.components.get("process", {}).get("accepting", Check(False)).ok
