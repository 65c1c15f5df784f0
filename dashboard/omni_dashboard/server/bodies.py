"""``/api/requests/{id}/bodies``: what is kept of what a request said and was answered. Each look is audited."""

from typing import Annotated

from fastapi import Path
from omni_core.kept_bodies import KeptBody
from pydantic import BaseModel
from starlette.requests import Request

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.server.routes import Row, identity_of, management_of

Id = Annotated[str, Path(alias="id", pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class BodyOut(BaseModel):
    """``stage`` is client_request, provider_request, provider_response or client_response, in the wire format
    ``format``; ``attempt`` is 0 for what is the client's. ``text`` is of ``bytes`` bytes that went by: not all of them
    where it is ``cut``, and with secrets and what tells of people masked where it is ``redacted``. It is kept until
    ``until_ms`` (epoch milliseconds)."""

    stage: str
    attempt: int
    provider: str
    model: str
    format: str
    at_ms: int
    until_ms: int
    bytes: int
    cut: bool
    redacted: bool
    text: str

    @classmethod
    def of(cls, body: KeptBody) -> "BodyOut":
        return cls(
            stage=body.stage,
            attempt=body.attempt,
            provider=body.provider,
            model=body.model,
            format=body.wire_format,
            at_ms=body.at_ms,
            until_ms=body.until_ms,
            bytes=body.size,
            cut=body.cut,
            redacted=body.redacted,
            text=body.content.decode("utf-8", "replace"),
        )


class BodiesOut(BaseModel):
    """In the order in which they went by; ``id`` is the request's own."""

    id: str
    key_id: str
    items: list[BodyOut]


class ForgottenOut(BaseModel):
    forgotten: int


def rows() -> tuple[Row, ...]:
    return (
        Row("GET", "/api/requests/{id}/bodies", ADMIN, bodies, BodiesOut, area="bodies"),
        Row("DELETE", "/api/requests/{id}/bodies", ADMIN, forget_bodies, ForgottenOut, area="bodies"),
    )


async def bodies(request: Request, id_: Id) -> BodiesOut:
    """What is kept of what a request said and was answered. That it was read goes into the audit log first."""
    found = await management_of(request).bodies(identity_of(request), id_)
    return BodiesOut(id=found[0].request_id, key_id=found[0].key_id, items=list(map(BodyOut.of, found)))


async def forget_bodies(request: Request, id_: Id) -> ForgottenOut:
    """Remove it for good, which goes into the audit log."""
    return ForgottenOut(forgotten=await management_of(request).forget_bodies(identity_of(request), id_))
