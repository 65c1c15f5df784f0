"""The auth service, put together."""

import os
from collections.abc import Mapping
from pathlib import Path

from omni_core.clock import now_ms
from omni_core.component import Check, ConfigState
from omni_core.ports.auth import AuthPort
from omni_core.runtime import Runtime
from omni_core.tracing import Tracer

from omni_auth.adapters.bucket import KvBucket
from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.metrics import PrometheusMetrics
from omni_auth.adapters.store import SqliteStore
from omni_auth.adapters.tracing import TracedAuth
from omni_auth.domain.compilation import DemoProvider
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings

__all__ = ["AuthComponent", "DemoProvider", "build"]


class AuthComponent:
    """Component ``auth``; ``service`` is the AuthPort."""

    name = "auth"

    def __init__(self, service: AuthService, tracer: Tracer | None = None) -> None:
        self._service = service
        self.service: AuthPort = service if tracer is None else TracedAuth(service, tracer)

    async def start(self) -> None:
        """Raises ``ConfigErrors`` with every problem of a file that cannot be used."""
        await self._service.start()

    async def drain(self) -> None:
        """Nothing runs longer than a call."""

    async def stop(self) -> None:
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
    configures no provider. Nothing is opened before ``start``."""
    settings = settings or AuthSettings()
    service = AuthService(
        store=SqliteStore(runtime.settings.data_dir),
        source=ConfigFile(config_file, env) if config_file else None,
        bucket=KvBucket(runtime.bus, settings.publish_timeout),
        metrics=PrometheusMetrics(runtime.metrics),
        settings=settings,
        now=lambda: now_ms() // 1000,
        chance=os.urandom,
        demo=demo,
    )
    return AuthComponent(service, runtime.tracer(AuthComponent.name))
