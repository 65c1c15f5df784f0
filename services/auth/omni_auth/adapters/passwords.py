"""Passwords, as argon2id strings. Hashing takes memory and time on purpose: few at once, off the event loop, and of
those who would have to wait long none."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from omni_wire.errors import RateLimited

T = TypeVar("T")

KIB, PASSES = 32 * 1024, 2
AT_ONCE, WAITING = 2, 32


class Argon2:
    """At most ``at_once`` times ``kib`` KiB of memory are in use, whoever asks for how much."""

    def __init__(self, *, kib: int = KIB, passes: int = PASSES, at_once: int = AT_ONCE) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=kib, parallelism=1, hash_len=32, salt_len=16)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._most, self._asked = at_once + WAITING, 0
        self._nobodys = ""

    async def hashed(self, password: str) -> str:
        """Raises ``RateLimited`` where too many wait."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, stored: str, password: str) -> bool:
        """Takes as long where nothing is ``stored``, and is False then. Raises ``RateLimited`` where too many wait."""
        return await self._run(lambda: self._matches(stored, password))

    def is_old(self, stored: str) -> bool:
        """Whether it was made with less than is asked for now."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        if not self._nobodys:
            self._nobodys = self._hasher.hash("nobody's")
        try:
            return self._hasher.verify(stored or self._nobodys, password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._asked >= self._most:
            raise RateLimited("too many are logging in at once: wait a little", retry_after=1.0)
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1
