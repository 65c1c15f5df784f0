"""The application: one table of routes, each with the role it needs, and the functions behind them."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import FastAPI, Path, Query
from omni_core.admin_http import Readiness, render_metrics
from omni_core.component import well
from omni_core.ports.analytics import UsageQuery
from omni_core.ports.context import CallContext
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from omni_dashboard.domain.access import ADMIN, DEVELOPER, sees_organisation
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.ports import Asset, FleetView, ProcessChecks
from omni_dashboard.server import (
    analytics,
    bodies,
    configuration,
    connection_tests,
    dead,
    documents,
    limit_events,
    live,
    logins,
    logs,
    page,
    people,
    problems,
    reports,
)
from omni_dashboard.server.money import MoneyApi
from omni_dashboard.server.quota_schemas import AccountQuotaOut
from omni_dashboard.server.request_schemas import RequestOut
from omni_dashboard.server.routes import JSON, PUBLIC, Row, identity_of, link_next
from omni_dashboard.server.schemas import (
    About,
    AuditEntryOut,
    AuditOut,
    AuditVerdictOut,
    CheckOut,
    ConfigOut,
    Grain,
    GroupBy,
    KeyCreated,
    KeyIn,
    KeyOut,
    Keys,
    Latency,
    Me,
    Organisation,
    ProcessOut,
    Quota,
    Rotation,
    System,
    Totals,
    UsageAnswer,
)
from omni_dashboard.server.simulation_schemas import SimulationIn, SimulationOut
from omni_dashboard.server.usage_meta import usage_groups, usage_points
from omni_dashboard.service import Management
from omni_dashboard.settings import DashboardSettings

_KEY = r"^[A-Za-z0-9 ._@:-]{1,128}$"
_REQUEST = r"^[A-Za-z0-9._-]{1,64}$"
_ACCOUNT = r"^[A-Za-z0-9._@:/-]{1,200}$"


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
            Row("GET", "/api/usage", DEVELOPER, self.usage, UsageAnswer, area="usage"),
            *analytics.rows(),
            *reports.rows(),
            *logs.rows(),
            *live.rows(),
            *dead.rows(),
            *logins.rows(),
            *bodies.rows(),
            *people.rows(),
            Row("GET", "/api/requests/{id}", DEVELOPER, self.request, RequestOut, area="usage"),
            Row(
                "POST",
                "/api/simulate-route",
                DEVELOPER,
                self.simulate,
                SimulationOut,
                area="usage",
                takes=JSON,
                also=(404,),
            ),
            Row("GET", "/api/keys", ADMIN, self.keys, Keys, area="keys"),
            Row("POST", "/api/keys", ADMIN, self.create_key, KeyCreated, 201, "keys", JSON),
            Row("POST", "/api/keys/{id}/rotate", ADMIN, self.rotate_key, KeyCreated, area="keys", takes=JSON),
            Row("DELETE", "/api/keys/{id}", ADMIN, self.revoke_key, KeyOut, area="keys"),
            Row("GET", "/api/quota", ADMIN, self.quota, Quota, area="quota"),
            *limit_events.rows(),
            Row("POST", "/api/quota/breakers/{account:path}/reset", ADMIN, self.reset_breaker, None, 204, "quota"),
            Row("POST", "/api/quota/rates/{account:path}/forget", ADMIN, self.forget_rates, None, 204, "quota"),
            Row(
                "POST",
                "/api/quota/accounts/{account:path}/refresh",
                ADMIN,
                self.refresh_quota,
                AccountQuotaOut,
                area="quota",
                also=(429,),
            ),
            *connection_tests.rows(),
            Row("GET", "/api/audit", ADMIN, self.audit, AuditOut, area="audit"),
            Row("GET", "/api/audit/verify", ADMIN, self.verify_audit, AuditVerdictOut, area="audit"),
            Row("GET", "/api/system", ADMIN, self.system, System, area="system"),
        )

    async def about(self) -> About:
        """What a visitor may know: the version, and where models are served."""
        return About(version=self._version, endpoint=self._settings.endpoint)

    async def me(self, request: Request) -> Me:
        """The key that asks."""
        return Me.of(identity_of(request))

    async def usage(
        self,
        request: Request,
        from_: Annotated[str, Query(alias="from", max_length=40, description="ISO 8601 or epoch ms, inclusive")] = "",
        until: Annotated[str, Query(max_length=40, description="ISO 8601 or epoch ms, exclusive")] = "",
        group_by: Annotated[GroupBy | None, Query(description="one group for each value")] = None,
        key: Annotated[str, Query(max_length=128, description="a key's id; a developer's is always their own")] = "",
        grain: Annotated[Grain | None, Query(description="points for each minute, hour or day of UTC")] = None,
        latency: Annotated[bool, Query(description="p50, p95 and p99 of requests, from histograms")] = False,
        tag: Annotated[
            list[Annotated[str, Query(max_length=128)]],
            Query(max_length=50, description="of requests that have it, or one of several; while their rows are kept"),
        ] = [],  # noqa: B006 - never written to
    ) -> UsageAnswer:
        """Totals of recorded usage. An admin sees all keys, a developer their own."""
        start = epoch_ms(from_, "from") if from_ else 0
        end = epoch_ms(until, "until") if until else 0
        asked = UsageQuery(start, end, key, group_by or "", grain=grain or "", latency=latency)
        report = await self._management.usage(identity_of(request), asked, tuple(tag))
        ranked = sorted(report.groups.items(), key=lambda item: (-item[1].cost_nano_usd, -item[1].requests, item[0]))
        shown = ranked[: self._settings.max_groups]
        return UsageAnswer(
            from_ms=start or None,
            until_ms=end or None,
            key=key or (None if sees_organisation(identity_of(request)) else identity_of(request).key_id or None),
            group_by=group_by,
            totals=Totals.of(report.totals),
            groups=usage_groups(shown, report.points if latency else ()),
            groups_omitted=len(ranked) - len(shown),
            grain=grain,
            latency=Latency.of(report.points) if latency else None,
            points=usage_points(report.points, dict(shown) if group_by else None, latency) if grain else [],
        )

    async def request(self, request: Request, id_: Annotated[str, Path(alias="id", pattern=_REQUEST)]) -> RequestOut:
        """One recorded request, its attempts, and why it went where it went. By its id, or by the X-Request-Id that its
        client saw: the newest, where several had the same. An admin sees all keys', a developer those of their own."""
        return RequestOut.of(await self._management.request(identity_of(request), id_))

    async def simulate(self, request: Request, wanted: SimulationIn, organisation: Organisation = "") -> SimulationOut:
        """What would become of a request now; nothing is sent, reserved or counted. An admin asks for any key, a
        developer for their own. Where chance decides, it is thrown anew each time."""
        context = CallContext(problems.request_id_of(request))
        found = await self._management.simulate(identity_of(request), context, wanted.to_simulation(), organisation)
        return SimulationOut.of(found)

    async def keys(self, request: Request, organisation: Organisation = "") -> Keys:
        """All keys of an organisation, without their secrets, and how they were used."""
        keys, use = await asyncio.gather(
            self._management.keys(identity_of(request), organisation), self._management.key_use()
        )
        return Keys(keys=[KeyOut.of(key).used(use) for key in keys])

    async def create_key(self, request: Request, new: KeyIn, organisation: Organisation = "") -> KeyCreated:
        """A new key. Its secret is in this answer and nowhere else."""
        created = await self._management.create_key(identity_of(request), new.to_new(), organisation)
        return KeyCreated(key=KeyOut.of(created.key), secret=created.secret)

    async def rotate_key(
        self,
        request: Request,
        rotation: Rotation,
        id_: Annotated[str, Path(alias="id", pattern=_KEY)],
        organisation: Organisation = "",
    ) -> KeyCreated:
        """A new secret for a key, in this answer and nowhere else. Its older secrets go on for a while."""
        rotated = await self._management.rotate_key(identity_of(request), id_, rotation.overlap, organisation)
        return KeyCreated(key=KeyOut.of(rotated.key), secret=rotated.secret)

    async def revoke_key(
        self, request: Request, id_: Annotated[str, Path(alias="id", pattern=_KEY)], organisation: Organisation = ""
    ) -> KeyOut:
        """End a key. One that the configuration file manages is ended there."""
        return KeyOut.of(await self._management.revoke_key(identity_of(request), id_, organisation))

    async def quota(self, request: Request) -> Quota:
        """Limits, budgets, breakers, providers' rate limits and accounts' quotas as they stand."""
        return Quota.of(await self._management.quota(identity_of(request)), self._management.now_ms() // 1000)

    async def reset_breaker(self, request: Request, account: Annotated[str, Path(pattern=_ACCOUNT)]) -> None:
        """Close an account's breaker, and those of its models and of combos' targets at its provider."""
        await self._management.reset_breaker(identity_of(request), account)

    async def refresh_quota(self, request: Request, account: Annotated[str, Path(pattern=_ACCOUNT)]) -> AccountQuotaOut:
        """Ask an account's provider now how much of its quota is left. 429 where that was only just done."""
        found = await self._management.refresh_quota(identity_of(request), account)
        return AccountQuotaOut.of_state(found, self._management.now_ms() // 1000)

    async def forget_rates(self, request: Request, account: Annotated[str, Path(pattern=_ACCOUNT)]) -> None:
        """Forget what was learned of the rate limits of an account and its models; they are learned anew."""
        await self._management.forget_rates(identity_of(request), account)

    async def audit(
        self,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$", description="`next` of the page before")] = "",
        organisation: Organisation = "",
    ) -> AuditOut:
        """What was done to keys and configuration, newest first. The platform's admins see all organisations'."""
        page = await self._management.audit(identity_of(request), organisation, int(after or 0), limit)
        following = str(page.next or "")
        link_next(request, response, limit, following)
        return AuditOut(items=list(map(AuditEntryOut.of, page.items)), next=following or None)

    async def verify_audit(
        self,
        request: Request,
        head: Annotated[str, Query(max_length=100, description="what an earlier answer had as its head")] = "",
    ) -> AuditVerdictOut:
        """Whether the audit log is as it was written, and which entry is the first that is not."""
        return AuditVerdictOut.of(await self._management.verify_audit(identity_of(request), head))

    async def system(self, request: Request) -> System:
        """Which configuration is published, who works with it, and how this process is."""
        found = await self._management.configuration(identity_of(request))
        published, fleet = found.revision, self._fleet.now()
        checks = {
            component: {name: CheckOut.of(check) for name, check in named.items()}
            for component, named in self._checks().items()
        }
        return System(
            version=self._version,
            instance_id=self._instance_id,
            config=ConfigOut(revision=published, rejected=found.rejected),
            in_step=fleet.in_step(published),
            live=fleet.live,
            processes=[ProcessOut.of(process, published) for process in fleet.processes],
            checks=checks,
        )


def create_app(
    api: Api,
    money: MoneyApi,
    management: Management,
    checks: ProcessChecks,
    assets: Mapping[str, Asset],
    registry: CollectorRegistry,
) -> FastAPI:
    """No page for OpenAPI: the usual ones load scripts from elsewhere."""
    app = documents.Described(
        title="OmniRoute management API",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    problems.register(app)
    app.state.management = management
    app.router.routes.extend([*(row.route() for row in (*api.rows(), *money.rows())), *configuration.routes()])
    _probes(app, checks, registry)
    page.register(app, assets)
    return app


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
