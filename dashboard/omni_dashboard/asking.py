"""Asking another service, within a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from omni_core.ports.configuration import ConfigObject, ObjectPage
from omni_wire.errors import DependencyUnavailable

T = TypeVar("T")


async def within(seconds: float, whom: str, answer: Awaitable[T]) -> T:
    """Raises ``DependencyUnavailable`` where none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError as error:
        raise DependencyUnavailable(f"{whom} does not answer", retry_after=1.0) from error


async def every(page: Callable[[str], Awaitable[ObjectPage]]) -> list[ConfigObject]:
    """All objects, page by page; ``page`` asks for that which comes after a name."""
    found, after, more = list[ConfigObject](), "", True
    while more:
        answer = await page(after)
        found += answer.items
        after, more = answer.next, bool(answer.next)
    return found


# Objects a page.
PAGE = 1000
