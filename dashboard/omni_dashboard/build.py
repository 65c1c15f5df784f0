"""Put the dashboard together."""

import asyncio
import os
from contextlib import suppress

from fastapi import FastAPI
from omni_core.clock import monotonic, now_ms
from omni_core.component import Check
from omni_core.ports.analytics import AnalyticsPort
from omni_core.ports.people import PeoplePort
from omni_core.ports.quota import QuotaPort
from omni_core.ports.router import RouterPort
from omni_core.runtime import Runtime
from omni_core.telemetry import console
from starlette.types import ASGIApp

from omni_dashboard.adapters import installation
from omni_dashboard.adapters.members import NatsConsoles, NatsFleet
from omni_dashboard.adapters.metrics import ReconciliationMeter
from omni_dashboard.money import Money
from omni_dashboard.people import People
from omni_dashboard.ports import ControlPort, FleetView, ProcessChecks
from omni_dashboard.reconciler import Reconciler
from omni_dashboard.server.app import Api, create_app
from omni_dashboard.server.configuration import FILE_PATH
from omni_dashboard.server.money import MoneyApi
from omni_dashboard.server.shell import Shell
from omni_dashboard.service import Management
from omni_dashboard.settings import DashboardSettings


class DashboardComponent:
    """Satisfies ``omni_core.component.Component``. ``app`` is the ASGI application; whoever launches it serves it."""

    name = "dashboard"

    def __init__(
        self,
        app: ASGIApp,
        api: FastAPI,
        service: Management,
        fleet: FleetView,
        reconciler: Reconciler,
        settings: DashboardSettings,
    ) -> None:
        self.app = app
        self.api = api
        self.service = service
        self._fleet = fleet
        self.reconciler = reconciler
        self._settings = settings
        self._prober: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Its ports may be away: what needs them answers 503 until they are back."""
        await self._fleet.start()
        await self.service.probe()
        self._prober = asyncio.create_task(self._probe(), name="dashboard-probe")
        self.reconciler.start()

    async def drain(self) -> None:
        """Requests are short, and the server that carries them waits for them; who watches is sent away."""
        self.service.end()

    async def stop(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.cancel()
            with suppress(asyncio.CancelledError):
                await prober
        await self.reconciler.stop()
        await self._fleet.stop()

    def checks(self) -> dict[str, Check]:
        """NATS away is named but does no harm: only the list of processes stands still."""
        away = "" if self._fleet.now().live else "away; the list of processes is as last heard"
        return {**self.service.checks, "nats": Check(True, away)}

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(self._settings.probe_interval)
            await self.service.probe()


def build(
    runtime: Runtime,
    *,
    auth: ControlPort,
    quota: QuotaPort,
    analytics: AnalyticsPort,
    router: RouterPort | None = None,
    people: PeoplePort | None = None,
    checks: ProcessChecks | None = None,
    fleet: FleetView | None = None,
    settings: DashboardSettings | None = None,
) -> DashboardComponent:
    """Without a ``router`` there is no simulation, without ``people`` nobody logs in.

    ``checks`` are those of the whole process, for ``/api/system`` and ``/readyz``; without it, the dashboard's own.
    ``fleet`` is who announces itself over NATS, and ``settings`` come from the environment, where they are not given.
    """
    settings = settings or DashboardSettings.from_env(os.environ)
    service = Management(
        auth,
        quota,
        analytics,
        settings,
        clock=monotonic,
        wall=lambda: now_ms() // 1000,
        router=router,
        console=console,
        people=People(people, settings, monotonic),
        consoles=NatsConsoles(runtime.bus),
    )

    def own() -> dict[str, dict[str, Check]]:
        return {DashboardComponent.name: component.checks()}

    seen = checks or own
    fleet = fleet or NatsFleet(runtime.bus)
    api = Api(service, settings, seen, fleet, version=installation.version(), instance_id=runtime.instance_id)
    money = Money(auth, quota, analytics, settings, now_ms)
    reconciler = Reconciler(money.audit, ReconciliationMeter(runtime.metrics), settings.reconcile_every, now_ms)
    app = create_app(
        api, MoneyApi(money, lambda: reconciler.looks), service, seen, installation.assets(), runtime.metrics
    )
    sizes = {FILE_PATH: settings.max_file_bytes}
    shell = Shell(
        app, runtime.metrics, max_body_bytes=settings.max_body_bytes, sizes=sizes, door=lambda: service.door,
        clock=monotonic, wall=lambda: now_ms() // 1000,
    )  # fmt: skip
    component: DashboardComponent = DashboardComponent(shell, app, service, fleet, reconciler, settings)
    return component
