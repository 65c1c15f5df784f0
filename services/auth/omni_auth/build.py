"""The auth service, put together."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from omni_core.addresses import Resolver
from omni_core.clock import now_ms
from omni_core.component import Check, ConfigState
from omni_core.ids import new_id
from omni_core.meters import Meter
from omni_core.outbound import Outbound
from omni_core.outbound_health import TUNNELS, ProxyHealth
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys, SigningKey
from omni_core.web import HttpWeb

from omni_auth.adapters.audit_file import AuditFile, audit_file
from omni_auth.adapters.bucket import KvBucket
from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.login_catalogue import EnvironmentLogins
from omni_auth.adapters.login_web import AuthorizationServers, HeldSecrets
from omni_auth.adapters.metrics import PrometheusLogins, PrometheusMetrics
from omni_auth.adapters.oidc import OidcLogins
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.logins import SqlLogins
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.adapters.tracing import TracedAuth
from omni_auth.domain.compilation import DemoProvider
from omni_auth.logins.flows import Flows
from omni_auth.logins.renewing import Renewing
from omni_auth.people import PeopleService
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings

log = logging.getLogger("omniroute.auth")

__all__ = ["AuthComponent", "DemoProvider", "build"]


class AuthComponent:
    """Component ``auth``; ``service`` is the AuthPort, the ConfigurationPort and the AuditPort, ``people`` the
    PeoplePort."""

    name = "auth"

    def __init__(self, service: AuthService, people: PeopleService, audit_file: AuditFile | None = None) -> None:
        self._service = service
        self.service = service
        self.people = people
        self._audit_file = audit_file

    async def start(self) -> None:
        """Raises ``ConfigErrors`` with every problem of a file that cannot be used."""
        await self._service.start()
        if self._audit_file is not None:
            self._audit_file.start()
        if token := await self.people.offer_setup():
            log.warning("nobody owns this gateway yet: stderr has a link for the first owner, good for a day")
            # Not in the log: admins read that over HTTP, and are no owners.
            sys.stderr.write(f"for the first owner, once, on the dashboard: /login#setup={token}\n")
            sys.stderr.flush()

    async def drain(self) -> None:
        """Nothing runs longer than a call."""

    async def stop(self) -> None:
        if self._audit_file is not None:
            await self._audit_file.stop()
        self.people.close()
        await self._service.stop()

    def config_state(self) -> ConfigState:
        return self._service.config_state()

    def checks(self) -> dict[str, Check]:
        return self._service.checks()


def build(
    runtime: Runtime,
    *,
    config_file: Path | None,
    env: Mapping[str, str],
    demo: DemoProvider | None = None,
    settings: AuthSettings | None = None,
) -> AuthComponent:
    """``env`` holds the secrets the file names and the ``OMNIROUTE__…`` overrides; ``demo`` is added when the file
    configures no provider. Nothing is opened before ``start``. Raises ``CannotUse`` for a key to sign with that is
    none."""
    settings = settings or AuthSettings()
    store = SqlStore(runtime.settings.data_dir, env)
    vault = Vault(store.database, open_keyring(runtime.settings.data_dir, env), os.urandom)
    objects = SqlObjects(store.database, vault)
    audit = AuditLog(store.database)
    own = OwnSecrets(env, runtime.settings.data_dir, config_file)
    tracer = runtime.tracer(AuthComponent.name)
    tunnels = Meter("omniroute_auth_proxy_tunnels", TUNNELS, ("proxy", "outcome"), runtime.metrics)
    outbound = Outbound(
        resolver=Resolver(runtime.settings.allowed_networks),
        secrets=HeldSecrets(lambda proxy_id: service.proxy_secret(proxy_id)),
        health=ProxyHealth(tunnels),
    )
    logins = partial(
        _logins,
        SqlLogins(store.database, vault),
        AuthorizationServers(HttpWeb(outbound=outbound), lambda login_id: service.ways_of_login(login_id)),
        EnvironmentLogins(env),
        PrometheusLogins(runtime.metrics),
        settings,
    )
    service = (AuthService if tracer is None else partial(TracedAuth, tracer))(
        store=store,
        objects=objects,
        audit=audit,
        secrets=AccountSecrets(env, config_file.parent if config_file else runtime.settings.data_dir, vault, own),
        source=ConfigFile(config_file, env, objects.held) if config_file else None,
        bucket=KvBucket(
            runtime.bus,
            settings.publish_timeout,
            SigningKey.of(runtime.settings),
            PublicKeys.of(runtime.settings),
        ),
        metrics=PrometheusMetrics(runtime.metrics),
        settings=settings,
        now=lambda: now_ms() // 1000,
        chance=os.urandom,
        mint=new_id,
        logins=logins,
        demo=demo,
    )
    people = PeopleService(
        SqlPeople(store.database, vault),
        Argon2(),
        OidcLogins(service.oidc, HttpWeb(outbound=outbound), now_ms),
        now=now_ms,
        chance=os.urandom,
        mint=new_id,
    )
    return AuthComponent(service, people, audit_file(audit, env))


def _logins(
    store: SqlLogins,
    web: AuthorizationServers,
    catalogue: EnvironmentLogins,
    metrics: PrometheusLogins,
    settings: AuthSettings,
    accounts: Callable[[], Mapping[str, tuple[str, ...]]],
) -> tuple[Flows, Renewing]:
    renewing = Renewing(store, web, catalogue, metrics, settings, now_ms)
    return Flows(store, web, catalogue, renewing, settings, now_ms, os.urandom, accounts), renewing
