"""A provider with its authorization server, and auth's logins on a real store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omni_auth.settings import AuthSettings
from omni_core.ports.configuration import ANYBODY
from omni_core.ports.logins import LoginInfo, NewLogin

from tests.support import authorization
from tests.support.authorization import Provider
from tests.support.logins import Logins, open_logins

CODEX = NewLogin("codex", accept_terms="codex")
SETTINGS = AuthSettings(login_lease=1.5, login_ask=1.0, login_patience=20.0, login_refused_patience=20.0, login_gap=0.0,
                        login_retry=0.0)  # fmt: skip


@pytest.fixture
def provider() -> Iterator[Provider]:
    with authorization.provider() as found:
        yield found


@pytest.fixture
def opened(provider: Provider, tmp_path: Path) -> Iterator[Callable[..., Logins]]:
    made: list[Logins] = []

    def opened(settings: AuthSettings = SETTINGS, **parts: Any) -> Logins:
        made.append(open_logins(tmp_path, provider.overrides(), settings, **parts))
        return made[-1]

    yield opened
    for house in made:
        house.close()


async def log_in(house: Logins, provider: Provider, new: NewLogin = CODEX) -> LoginInfo:
    started = await house.flows.begin(ANYBODY, new)
    return await house.flows.finish(ANYBODY, provider.browse(started.url))
