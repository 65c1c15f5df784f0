"""Auth's logins on a real store, for tests."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.login_catalogue import OVERRIDES, EnvironmentLogins
from omni_auth.adapters.login_web import AuthorizationServers
from omni_auth.adapters.metrics import PrometheusLogins
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.logins import SqlLogins
from omni_auth.logins.flows import Flows
from omni_auth.logins.renewing import Renewing
from omni_auth.settings import AuthSettings
from omni_core.clock import now_ms
from omni_core.web import HttpWeb
from prometheus_client import CollectorRegistry

SECRET = "test-client-secret"
Accounts = Callable[[], Mapping[str, tuple[str, ...]]]


def logins_of(
    database: Database, vault: Vault, env: Mapping[str, str] | None = None, settings: AuthSettings | None = None
) -> Callable[[Accounts], tuple[Flows, Renewing]]:
    """What ``AuthService`` takes for its logins."""

    def made(accounts: Accounts) -> tuple[Flows, Renewing]:
        house = Logins(database, vault, env or {}, settings or AuthSettings(), accounts)
        return house.flows, house.renewing

    return made


class Logins:
    """Flows and renewals over ``database``; ``web`` and ``store`` may be replaced before they are used."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        env: Mapping[str, str],
        settings: AuthSettings,
        accounts: Accounts = dict,
        *,
        web: Any = None,
        store: Any = None,
    ) -> None:
        self.store = store or SqlLogins(database, vault)
        self._database = database
        web = web or AuthorizationServers(HttpWeb())
        catalogue = EnvironmentLogins(env)
        self.metrics = CollectorRegistry()
        self.renewing = Renewing(self.store, web, catalogue, PrometheusLogins(self.metrics), settings, now_ms)
        self.flows = Flows(self.store, web, catalogue, self.renewing, settings, now_ms, os.urandom, accounts)

    def close(self) -> None:
        self._database.close()


def open_logins(folder: Path, overrides: str = "", settings: AuthSettings | None = None, **parts: Any) -> Logins:
    """On the SQLite store in ``folder``, which is opened."""
    store = SqlStore(folder)
    store.open()
    vault = Vault(store.database, open_keyring(folder, {}), os.urandom)
    env = {"GEMINI_CLI_OAUTH_CLIENT_SECRET": SECRET}
    if overrides:
        path = folder / "logins.toml"
        path.write_text(overrides)
        env[OVERRIDES] = str(path)
    if "wrap_store" in parts:
        parts["store"] = parts.pop("wrap_store")(SqlLogins(store.database, vault))
    return Logins(store.database, vault, env, settings or AuthSettings(), **parts)
