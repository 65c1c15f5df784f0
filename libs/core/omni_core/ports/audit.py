"""AuditPort: what was done to keys and configuration, and that nobody has changed what is written of it."""

from typing import Protocol

import msgspec

from omni_core.ports.configuration import Caller


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` counts from 1 without gaps, over all organisations; ``at`` in epoch ms; ``target`` is "kind/id".
    ``before`` and ``after`` are JSON without secrets, "null" where there is nothing. ``hash`` is of all other fields,
    and ``previous`` the hash of the entry before."""

    number: int
    at: int
    organisation: str
    actor: str
    action: str
    target: str
    before: str
    after: str
    previous: bytes
    hash: bytes


class AuditPage(msgspec.Struct, frozen=True):
    """``next`` is what ``before`` is for the page after this one; 0 after the last."""

    items: tuple[AuditEntry, ...]
    next: int


class AuditVerdict(msgspec.Struct, frozen=True):
    """``entries`` are as they were written, the last of which is ``head`` ("number:hash", "" for none); ``bad`` is the
    number of the first that is not, 0 for none, and ``why`` says what is wrong with it."""

    entries: int
    head: str
    bad: int = 0
    why: str = ""


class AuditPort(Protocol):
    """Of auth."""

    async def list_audit(
        self, caller: Caller, *, organisation: str = "", before: int = 0, limit: int = 100
    ) -> AuditPage:
        """Newest first; with ``before`` those with numbers below it. The platform sees all, or those of one
        ``organisation``; others see their own, whatever they ask for."""
        ...

    async def verify_audit(self, caller: Caller, head: str = "") -> AuditVerdict:
        """``head`` is what an earlier verdict said: it must still be there. Raises ``PermissionDenied`` for who does
        not run the gateway, ``InvalidRequest`` for a ``head`` that is none."""
        ...

    async def record_audit(self, caller: Caller, action: str, target: str, before: str = "", after: str = "") -> None:
        """Write down what a service beside auth is about to do for ``caller``: ``target`` is "kind/id", ``before`` and
        ``after`` are JSON, "" for nothing. Raises ``InvalidRequest``, ``DependencyUnavailable``."""
        ...
