"""Asking another service, within a time."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from omni_wire.errors import DependencyUnavailable

T = TypeVar("T")


async def within(seconds: float, whom: str, answer: Awaitable[T]) -> T:
    """Raises ``DependencyUnavailable`` where none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError as error:
        raise DependencyUnavailable(f"{whom} does not answer", retry_after=1.0) from error
