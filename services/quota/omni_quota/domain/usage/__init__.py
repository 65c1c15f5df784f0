"""How each vendor is asked how much of an account's quota is left, and what it answers: one module a shape. Pure.

``ask`` makes the call, ``read`` the uniform answer of what came back. Whatever that is, ``read`` raises nothing but
``UsageUnreadable``: these addresses are hardly documented, and change without a word.
"""

from collections.abc import Mapping

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage import (
    antigravity,
    claude_code,
    codex,
    copilot,
    gemini_cli,
    glm,
    kimi,
    kiro,
    minimax,
    openrouter,
)
from omni_quota.domain.usage.base import Asked, Shape, Usage, UsageUnreadable, Window, document, wait_told

__all__ = ["SHAPES", "Asked", "Usage", "UsageUnreadable", "Window", "ask", "read", "wait_told"]

# By the names that the configuration has for them (``omni_catalogue.quotas.VENDORS``).
SHAPES: dict[str, Shape] = {
    "claude-code": Shape(claude_code.ask, claude_code.read),
    "codex": Shape(codex.ask, codex.read),
    "copilot": Shape(copilot.ask, copilot.read),
    "gemini-cli": Shape(gemini_cli.ask, gemini_cli.read),
    "antigravity": Shape(antigravity.ask, antigravity.read),
    "kiro": Shape(kiro.ask, kiro.read),
    "glm": Shape(glm.ask, glm.read),
    "kimi": Shape(kimi.ask, kimi.read),
    "minimax": Shape(minimax.ask, minimax.read),
    "openrouter": Shape(openrouter.ask, openrouter.read),
}


def ask(quota: Quota, account: Account, secret: str) -> Asked | None:
    """The call that asks about an account; None where a later version's word names nobody that is known here."""
    shape = SHAPES.get(quota.ask)
    return shape.ask(quota, account, secret) if shape is not None else None


def read(quota: Quota, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Usage:
    """What an answer says; ``now`` is in epoch seconds. Raises ``UsageUnreadable`` for anything else than it should."""
    if status != 200:
        raise UsageUnreadable(f"HTTP {status}", wait=wait_told(headers))
    found = document(body)
    try:
        usage = SHAPES[quota.ask].read(found, now)
    except RecursionError as error:
        raise UsageUnreadable("it answered something that is nested too deep") from error
    if not usage.windows and not usage.message:
        raise UsageUnreadable("its answer names no window that is known here")
    return usage
