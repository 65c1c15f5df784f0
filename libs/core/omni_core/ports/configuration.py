"""ConfigurationPort: what is configured, object by object and as a whole.

``kind`` is a plural ("providers"), ``name`` a path of names in it ("acme", of an account "acme/main"). All raise
``InvalidRequest`` with a ``code``: "not_found" (404), "managed_by_file", "taken", "in_use", "conflict" (409),
"version_mismatch" (412); ``param`` is the field, several problems are a line each.
"""

from typing import Protocol

import msgspec
from omni_catalogue.scopes import Scopes


class Caller(msgspec.Struct, frozen=True):
    """Who asks, for the audit log (``actor``, as "key:<id> (<name>)" or "cli:uid-0") and for whose things they are
    (``organisation``)."""

    actor: str = "api"
    organisation: str = "default"


ANYBODY = Caller()

# Seconds that applying a file may take: it may say thousands of objects, each of which is written and audited.
APPLY_TIMEOUT = 60.0


class ConfigObject(msgspec.Struct, frozen=True):
    """``kind`` is the plural; ``document`` a JSON object, its scalars typed as its kind has them, whose secrets are
    references; ``etag`` has no quotes; ``managed_by`` is "file" or "api", ``source`` the file; times are epoch ms, 0
    for objects of the live file."""

    kind: str
    name: str
    document: bytes
    etag: str
    managed_by: str
    source: str = ""
    created: int = 0
    updated: int = 0


class ObjectPage(msgspec.Struct, frozen=True):
    """``next`` is the cursor of the page after this one; "" after the last."""

    items: tuple[ConfigObject, ...]
    next: str


class Written(msgspec.Struct, frozen=True):
    """``outcome`` is "created", "updated" or "unchanged"."""

    object: ConfigObject
    outcome: str


class ObjectChange(msgspec.Struct, frozen=True):
    """What becomes of an object that is in force, or will be. ``action`` is "create", "update", "delete" or "adopt":
    what it says stays as it is, and who manages it is another. ``before`` and ``after`` are JSON, redacted, b"" for
    none."""

    action: str
    kind: str
    name: str
    before: bytes = b""
    after: bytes = b""


class Applied(msgspec.Struct, frozen=True):
    """``revision`` is the one in force afterwards; of a dry run the present one. ``unchanged`` is how many objects of
    the file stay as they are."""

    changes: tuple[ObjectChange, ...]
    revision: int
    warnings: tuple[str, ...] = ()
    unchanged: int = 0


class ConfigurationPort(Protocol):
    """Of auth. A change is in force there when the call returns; with ``dry_run`` it is checked only."""

    async def list_objects(self, caller: Caller, kind: str, *, after: str = "", limit: int = 100) -> ObjectPage:
        """By name. ``after`` is the ``next`` of the page before."""
        ...

    async def get_object(self, caller: Caller, kind: str, name: str) -> ConfigObject: ...

    async def put_object(
        self,
        caller: Caller,
        kind: str,
        name: str,
        document: bytes,
        *,
        if_match: str = "",
        if_none_match: bool = False,
        dry_run: bool = False,
    ) -> Written:
        """Make it what ``document`` says. ``if_match`` is the etag it must have, ``if_none_match`` says that there must
        be none. A document that changes nothing leaves everything as it is, the etag too."""
        ...

    async def delete_object(
        self, caller: Caller, kind: str, name: str, *, if_match: str = "", dry_run: bool = False
    ) -> None: ...

    async def adopt_object(self, caller: Caller, kind: str, name: str, *, if_match: str = "") -> ConfigObject:
        """Take it out of its file's hands, with what belongs to it."""
        ...

    async def apply_configuration(
        self,
        caller: Caller,
        text: str,
        source: str,
        *,
        mode: str = "apply",
        dry_run: bool = False,
        take_over: bool = False,
        scopes: Scopes | None = None,
    ) -> Applied:
        """Make the store have what a file's ``text`` says: all of it, or nothing and an error. "apply" makes them the
        objects of the file ``source``, and deletes those of it that it says no more; "import" gives them into the
        API's hands. ``take_over`` also takes those that somebody else manages. Keys of the file may do no more than
        ``scopes`` of who asks give; None is for nobody's. Keys that it says no more stay. Raises ``PermissionDenied``
        too."""
        ...

    async def export_configuration(self, caller: Caller) -> str:
        """All of it as the text of one file, without secrets."""
        ...
