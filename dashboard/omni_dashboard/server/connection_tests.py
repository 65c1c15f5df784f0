"""``POST /api/accounts/{account}/test`` and ``POST /api/proxies/{proxy}/test``: whether they can be used."""

from typing import Annotated

import msgspec
from fastapi import Path, Query
from omni_core.ports.context import CallContext
from omni_core.ports.router import ConnectionTest
from pydantic import BaseModel
from starlette.requests import Request

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.server import problems
from omni_dashboard.server.routes import Row, identity_of, management_of

_ACCOUNT = r"^[A-Za-z0-9._@:-]{1,100}/[A-Za-z0-9._@:-]{1,100}$"
_PROXY = r"^[A-Za-z0-9._-]{1,100}$"


class ConnectionTestOut(BaseModel):
    """``asked`` is what for: the "models" of the provider, a "completion" of one token, an "echo", or nothing but a
    "tunnel". ``status`` is the HTTP status that came, null where none did; ``message`` says what it was, and what may
    be done. ``proxy`` and ``level`` ("account", "provider", "global") are of the way that it took, or that failed;
    ``egress`` is the address that the outside saw, null where nobody told it."""

    ok: bool
    asked: str
    message: str
    status: int | None
    latency_ms: int
    code: str | None
    model: str | None
    proxy: str | None
    level: str | None
    egress: str | None

    @classmethod
    def of(cls, found: ConnectionTest) -> "ConnectionTestOut":
        said = msgspec.structs.asdict(found)
        optional = ("status", "code", "model", "proxy", "level", "egress")
        return cls(**said | {name: said[name] or None for name in optional})


def rows() -> tuple[Row, ...]:
    return (
        Row(
            "POST",
            "/api/accounts/{account:path}/test",
            ADMIN,
            of_account,
            ConnectionTestOut,
            area="config",
            name="test_account",
        ),
        Row("POST", "/api/proxies/{proxy}/test", ADMIN, of_proxy, ConnectionTestOut, area="config", name="test_proxy"),
    )  # fmt: skip


async def of_account(
    request: Request,
    account: Annotated[str, Path(pattern=_ACCOUNT, description="provider/name")],
    model: Annotated[
        str, Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$", description="ask this one for a token")
    ] = "",
) -> ConnectionTestOut:
    """Ask an account's provider for its models, or a model for one token, through all that its calls go through. The
    answer is 200 however it went; no key's limits are touched."""
    found = await management_of(request).test_account(identity_of(request), _context(request), account, model)
    return ConnectionTestOut.of(found)


async def of_proxy(request: Request, proxy: Annotated[str, Path(pattern=_PROXY)]) -> ConnectionTestOut:
    """Open a tunnel through a proxy, and ask ``outbound.echo_url`` from which address that comes."""
    return ConnectionTestOut.of(await management_of(request).test_proxy(identity_of(request), _context(request), proxy))


def _context(request: Request) -> CallContext:
    return CallContext(problems.request_id_of(request))
