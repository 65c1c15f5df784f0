"""What the composition root starts, watches and stops."""

from typing import Protocol

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One dependency as /readyz names it. ``detail`` says what is wrong, or which version is right."""

    ok: bool
    detail: str = ""


class Component(Protocol):
    """A service in this process.

    Life: ``start`` (returns once it can serve; starting twice is an error) → ``drain`` (finish what is running, take
    nothing new) → ``stop`` (release everything; safe after a failed start). ``checks`` answers at once, from state it
    already has.
    """

    name: str

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def checks(self) -> dict[str, Check]: ...
