"""A process that renews one login and is killed at a step of it.

    python -m tests.support.killed_login FOLDER ID STEP

STEP is "before-ask", "asked" (the provider has the question, and whoever began us kills us before it answers),
"answered" (the answer is here, and not kept), "kept" (and nobody was told yet) or "never".
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from omni_auth.adapters.login_catalogue import OVERRIDES
from omni_auth.adapters.login_web import AuthorizationServers
from omni_auth.adapters.store.logins import SqlLogins
from omni_auth.settings import AuthSettings
from omni_core.web import HttpWeb

from tests.support.logins import open_logins

STEPS = ("before-ask", "asked", "answered", "kept")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Web(AuthorizationServers):
    def __init__(self, step: str) -> None:
        super().__init__(HttpWeb())
        self._step = step

    async def fetch(self, asked: Any, *, allow_private: bool, within: float, login_id: str = "") -> Any:
        if self._step == "before-ask":
            _die()
        found = await super().fetch(asked, allow_private=allow_private, within=within, login_id=login_id)
        if self._step == "answered":
            _die()
        return found


class _Store:
    def __init__(self, store: SqlLogins, step: str) -> None:
        self._store, self._step = store, step

    def keep(self, *args: Any, **kwargs: Any) -> Any:
        kept = self._store.keep(*args, **kwargs)
        if self._step == "kept":
            _die()
        return kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def main(folder: Path, overrides: str, login_id: str, step: str) -> None:
    house = open_logins(
        folder,
        overrides,
        AuthSettings(login_lease=1.5, login_ask=1.0),
        web=_Web(step),
        wrap_store=lambda store: _Store(store, step),
    )
    renewed = await house.renewing.renew(login_id)
    print(renewed.version, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(os.environ[OVERRIDES]).read_text(), sys.argv[2], sys.argv[3]))
