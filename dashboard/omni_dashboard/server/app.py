"""The application: one table of routes, each with the role it needs, and the functions behind them."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import FastAPI, Path, Query, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from omni_core.admin_http import Readiness, render_metrics
from omni_core.component import well
from omni_core.ports.analytics import UsageQuery
from omni_core.ports.auth import Identity
from omni_core.ports.context import CallContext
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from omni_dashboard.domain.access import ADMIN, DEVELOPER, presented_key
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.ports import Asset, FleetView, ProcessChecks
from omni_dashboard.server import page, problems
from omni_dashboard.server.schemas import (
    About,
    CheckOut,
    ConfigOut,
    Group,
    GroupBy,
    KeyCreated,
    KeyIn,
    KeyOut,
    Keys,
    Me,
    Problem,
    ProcessOut,
    Quota,
    System,
    Totals,
    UsageAnswer,
)
from omni_dashboard.service import Management
from omni_dashboard.settings import DashboardSettings

PUBLIC = ""
_KEY = r"^[A-Za-z0-9 ._@:-]{1,128}$"
_ACCOUNT = r"^[A-Za-z0-9._@:/-]{1,200}$"


class GuardedRoute(APIRoute):
    """A route that knows the role it needs, and asks before it reads anything of the request but its headers."""

    needs: str
    management: Management

    def get_route_handler(self) -> Any:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            headers = dict(request.scope["headers"])
            key = presented_key(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))
            trace = headers.get(b"traceparent", b"")[:128].decode("latin-1")
            context = CallContext(problems.request_id_of(request), trace)
            request.state.identity = await self.management.identify(context, key, self.needs)
            return await inner(request)

        return handler


def _guarded(management: Management, role: str) -> type[GuardedRoute]:
    return type(f"Guarded_{role}", (GuardedRoute,), {"needs": role, "management": management})


def _who(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


class Row(NamedTuple):
    """One route: who may call it, and what answers."""

    method: str
    path: str
    needs: str
    endpoint: Any
    model: type[BaseModel] | None
    status: int = 200


class Api:
    """The functions behind ``/api/*``. Guarded before they are called."""

    def __init__(
        self,
        management: Management,
        settings: DashboardSettings,
        checks: ProcessChecks,
        fleet: FleetView,
        *,
        version: str,
        instance_id: str,
    ) -> None:
        self._management = management
        self._settings = settings
        self._checks = checks
        self._fleet = fleet
        self._version = version
        self._instance_id = instance_id

    def rows(self) -> tuple[Row, ...]:
        return (
            Row("GET", "/api/about", PUBLIC, self.about, About),
            Row("GET", "/api/me", DEVELOPER, self.me, Me),
            Row("GET", "/api/usage", DEVELOPER, self.usage, UsageAnswer),
            Row("GET", "/api/keys", ADMIN, self.keys, Keys),
            Row("POST", "/api/keys", ADMIN, self.create_key, KeyCreated, 201),
            Row("DELETE", "/api/keys/{id}", ADMIN, self.revoke_key, KeyOut),
            Row("GET", "/api/quota", ADMIN, self.quota, Quota),
            Row("POST", "/api/quota/breakers/{account:path}/reset", ADMIN, self.reset_breaker, None, 204),
            Row("GET", "/api/system", ADMIN, self.system, System),
        )

    async def about(self) -> About:
        """What a visitor may know: the version, and where models are served."""
        return About(version=self._version, endpoint=self._settings.endpoint)

    async def me(self, request: Request) -> Me:
        """The key that asks."""
        return Me.of(_who(request))

    async def usage(
        self,
        request: Request,
        from_: Annotated[str, Query(alias="from", max_length=40, description="ISO 8601 or epoch ms, inclusive")] = "",
        until: Annotated[str, Query(max_length=40, description="ISO 8601 or epoch ms, exclusive")] = "",
        group_by: Annotated[GroupBy | None, Query(description="one group for each value")] = None,
        key: Annotated[str, Query(max_length=128, description="a key's id; a developer's is always their own")] = "",
    ) -> UsageAnswer:
        """Totals of recorded usage. An admin sees all keys, a developer their own."""
        start = epoch_ms(from_, "from") if from_ else 0
        end = epoch_ms(until, "until") if until else 0
        report = await self._management.usage(_who(request), UsageQuery(start, end, key, group_by or ""))
        ranked = sorted(report.groups.items(), key=lambda item: (-item[1].cost_nano_usd, -item[1].requests, item[0]))
        shown = ranked[: self._settings.max_groups]
        return UsageAnswer(
            from_ms=start or None,
            until_ms=end or None,
            key=key or (None if _who(request).role == ADMIN else _who(request).key_id),
            group_by=group_by,
            totals=Totals.of(report.totals),
            groups=[Group(value=value, totals=Totals.of(totals)) for value, totals in shown],
            groups_omitted=len(ranked) - len(shown),
        )

    async def keys(self) -> Keys:
        """All keys, without their secrets."""
        return Keys(keys=[KeyOut.of(key) for key in await self._management.keys()])

    async def create_key(self, new: KeyIn) -> KeyCreated:
        """A new key. Its secret is in this answer and nowhere else."""
        created = await self._management.create_key(new.to_new())
        return KeyCreated(key=KeyOut.of(created.key), secret=created.secret)

    async def revoke_key(self, id_: Annotated[str, Path(alias="id", pattern=_KEY)]) -> KeyOut:
        """End a key. One that the configuration file manages is ended there."""
        return KeyOut.of(await self._management.revoke_key(id_))

    async def quota(self) -> Quota:
        """Limits, budgets and breakers as they stand."""
        return Quota.of(await self._management.quota())

    async def reset_breaker(self, account: Annotated[str, Path(pattern=_ACCOUNT)]) -> None:
        """Close an account's breaker."""
        await self._management.reset_breaker(account)

    async def system(self) -> System:
        """Which configuration is published, who works with it, and how this process is."""
        configuration = await self._management.configuration()
        published, fleet = configuration.revision, self._fleet.now()
        checks = {
            component: {name: CheckOut.of(check) for name, check in found.items()}
            for component, found in self._checks().items()
        }
        return System(
            version=self._version,
            instance_id=self._instance_id,
            config=ConfigOut(revision=published, rejected=configuration.rejected),
            in_step=fleet.in_step(published),
            live=fleet.live,
            processes=[ProcessOut.of(process, published) for process in fleet.processes],
            checks=checks,
        )


def create_app(
    api: Api,
    management: Management,
    checks: ProcessChecks,
    assets: Mapping[str, Asset],
    registry: CollectorRegistry,
) -> FastAPI:
    """No page for OpenAPI: the usual ones load scripts from elsewhere."""
    app = FastAPI(
        title="OmniRoute management API",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.register(app)
    for row in api.rows():
        app.router.add_api_route(
            row.path,
            row.endpoint,
            methods=[row.method],
            status_code=row.status,
            response_model=row.model,
            responses=_problems(400, 422, 500, 503, *((401, 403) if row.needs else ())),
            dependencies=_SCHEMES if row.needs else None,
            route_class_override=_guarded(management, row.needs) if row.needs else None,
        )
    _probes(app, checks, registry)
    page.register(app, assets)
    return app


_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="an API key")),
    Security(APIKeyHeader(name="x-api-key", auto_error=False)),
]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {problems.MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": "a problem (RFC 9457)", "content": content} for status in statuses}


def _probes(app: FastAPI, checks: ProcessChecks, registry: CollectorRegistry) -> None:
    """For the dashboard as a process of its own; in the target ``all`` the edge answers these paths."""

    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    async def readyz() -> Response:
        found = {component: dict(named) for component, named in checks().items()}
        ready = well(found)
        body = msgspec.json.encode(Readiness(ready, found))
        return Response(body, status_code=200 if ready else 503, media_type="application/json")

    async def metrics() -> Response:
        kind, body = render_metrics(registry)
        return Response(body, headers={"Content-Type": kind})

    for endpoint in (healthz, readyz, metrics):
        app.router.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["GET"], include_in_schema=False)
