"""How far a stream has come, told to a client that asked to know."""

import asyncio
from collections.abc import Callable
from time import monotonic

from omni_wire.formats import WireFormat
from starlette.types import Send

from omni_edge.domain.answer import count_tokens_in, progress

_DONE = b"data: [DONE]\n\n"


class Progress:
    """An event every ``every`` seconds, between two frames, and a last one. ``began`` is when the request came
    (monotonic); nothing is sent while ``writing()``."""

    def __init__(
        self, dialect: WireFormat, send: Send, began: float, every: float, writing: Callable[[], bool]
    ) -> None:
        self._dialect = dialect
        self._send = send
        self._began = began
        self._every = every
        self._writing = writing
        self._tokens = 0
        self._told = False  # the last one
        self._task = asyncio.get_running_loop().create_task(self._tell())

    def woven(self, frame: bytes) -> bytes:
        """``frame``, counted; the last event goes before the mark after which OpenAI's SDKs read nothing more."""
        self._tokens += count_tokens_in(frame)
        if self._told or self._dialect is not WireFormat.OPENAI_CHAT or not frame.endswith(_DONE):
            return frame
        self._task.cancel()
        self._told = True
        self._tokens -= 1  # the mark itself
        return frame[: -len(_DONE)] + self._event(done=True) + _DONE

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            if self._tokens and not self._writing():
                await self._say(done=False)

    async def done(self) -> None:
        await self.stop()
        if not self._told:
            await self._say(done=True)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _say(self, *, done: bool) -> None:
        await self._send({"type": "http.response.body", "body": self._event(done=done), "more_body": True})

    def _event(self, *, done: bool) -> bytes:
        return progress(self._dialect, self._tokens, int((monotonic() - self._began) * 1000), done=done)
