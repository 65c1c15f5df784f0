"""``/api/{kind}`` for every kind of object of the configuration, and the whole of it at once."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Header, Path, Query
from fastapi.routing import APIRoute
from omni_core.ports.configuration import Caller
from omni_wire.errors import InvalidRequest
from starlette.requests import Request
from starlette.responses import Response

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.domain.kinds import KINDS, Kind
from omni_dashboard.domain.preconditions import create_only, if_match, is_known
from omni_dashboard.server import documents
from omni_dashboard.server.routes import JSON, YAML, Row, identity_of, link_next, management_of, media_type
from omni_dashboard.server.schemas import AppliedOut, DeletedOut, ObjectOut, ObjectsOut, Organisation, WrittenOut

AREA = "config"
FILE_PATH = "/api/config/apply"
# What is longer, or has a control character, is no object's name.
Name = Annotated[str, Path(max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$", description="one word, or owner/word")]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=400, description="the ETag it must have now")]
CreateOnly = Annotated[str | None, Header(alias="If-None-Match", max_length=400, description="`*`: not there yet")]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=400, description="the ETag known")]
Source = Annotated[
    str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="whose text this is: the file's name")
]
Mode = Annotated[Literal["apply", "import"], Query(description="import: as if each had been put here")]
TakeOver = Annotated[bool, Query(description="take objects of the same name from whoever manages them")]
DryRun = Annotated[bool, Query(description="check everything, change nothing")]


@cache
def routes() -> tuple[APIRoute, ...]:
    """Made once: that they are described in full takes a while."""
    return tuple(row.route() for row in rows())


def rows() -> list[Row]:
    """One for each operation, kind by kind."""
    whole = [
        Row(
            "POST", "/api/config/apply", ADMIN, apply, AppliedOut, 200, AREA, (*YAML, *JSON),
            "apply_configuration", documents.file_body(),
        ),
        Row(
            "GET", "/api/config/export", ADMIN, export, None, 200, AREA,
            name="export_configuration", more=documents.file_answer(),
        ),
    ]  # fmt: skip
    return [*whole, *(row for kind in KINDS for row in _rows(kind))]


def _rows(kind: Kind) -> list[Row]:
    caller = Depends(_own if kind.own else _platform)
    every, one = kind.path, f"{kind.path}/{{name:path}}"
    body, what = documents.body(kind.name), kind.name if kind.name == "limits" else ""
    return [
        Row("GET", every, ADMIN, _list(kind, caller), ObjectsOut, 200, AREA, (), f"list_{kind.name}", what=what),
        Row("GET", one, ADMIN, _get(kind, caller), ObjectOut, 200, AREA, (), f"get_{kind.word}", what=what),
        Row("PUT", one, ADMIN, _put(kind, caller), WrittenOut, 200, AREA, JSON, f"put_{kind.word}", body, what=what),
        Row(
            "DELETE", one, ADMIN, _delete(kind, caller), DeletedOut, 200, AREA, (), f"delete_{kind.word}", what=what
        ),
        Row(
            "POST", f"{one}/adopt", ADMIN, _adopt(kind, caller), ObjectOut, 200, AREA, (), f"adopt_{kind.word}",
            what=what,
        ),
    ]  # fmt: skip


async def _own(request: Request, organisation: Organisation = "") -> Caller:
    return management_of(request).caller(identity_of(request), organisation)


async def _platform(request: Request) -> Caller:
    return management_of(request).caller(identity_of(request))


def _list(kind: Kind, who: Any) -> Callable[..., Any]:
    async def endpoint(
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
        caller: Caller = who,
    ) -> ObjectsOut:
        page = await management_of(request).objects(caller, kind, after, limit)
        link_next(request, response, limit, page.next)
        return ObjectsOut(items=[ObjectOut.of(found) for found in page.items], next=page.next or None)

    endpoint.__doc__ = f"The {kind.name}, a page at a time."
    return endpoint


def _get(kind: Kind, who: Any) -> Callable[..., Any]:
    async def endpoint(
        request: Request, response: Response, name: Name, known: IfNoneMatch = None, caller: Caller = who
    ) -> Any:
        found = await management_of(request).object(caller, kind, name)
        response.headers["ETag"] = _quoted(found.etag)
        if is_known(known, found.etag):
            return Response(status_code=304, headers={"ETag": _quoted(found.etag)})
        return ObjectOut.of(found)

    endpoint.__doc__ = f"One of the {kind.name}."
    return endpoint


def _put(kind: Kind, who: Any) -> Callable[..., Any]:
    async def endpoint(
        request: Request,
        response: Response,
        name: Name,
        match: IfMatch = None,
        create: CreateOnly = None,
        dry_run: DryRun = False,
        caller: Caller = who,
    ) -> WrittenOut:
        expected, only_new = if_match(match), create_only(create)
        document = documents.checked(await request.body())
        written = await management_of(request).put_object(caller, kind, name, document, expected, only_new, dry_run)
        if written.outcome == "created" and not dry_run:
            response.status_code = 201
            response.headers["Location"] = f"{kind.path}/{quote(name)}"
        if not dry_run:
            response.headers["ETag"] = _quoted(written.object.etag)
        return WrittenOut(outcome=written.outcome, dry_run=dry_run, object=ObjectOut.of(written.object))

    endpoint.__doc__ = (
        f"Make or change one of the {kind.name}. 201 where it was not there. The same again changes nothing."
    )
    return endpoint


def _delete(kind: Kind, who: Any) -> Callable[..., Any]:
    async def endpoint(
        request: Request, name: Name, match: IfMatch = None, dry_run: DryRun = False, caller: Caller = who
    ) -> DeletedOut:
        await management_of(request).delete_object(caller, kind, name, if_match(match), dry_run)
        return DeletedOut(kind=kind.name, name=name, dry_run=dry_run)

    endpoint.__doc__ = f"Delete one of the {kind.name}; what others refer to is refused (409)."
    return endpoint


def _adopt(kind: Kind, who: Any) -> Callable[..., Any]:
    async def endpoint(
        request: Request, response: Response, name: Name, match: IfMatch = None, caller: Caller = who
    ) -> ObjectOut:
        found = await management_of(request).adopt_object(caller, kind, name, if_match(match))
        response.headers["ETag"] = _quoted(found.etag)
        return ObjectOut.of(found)

    endpoint.__doc__ = f"Have one of the {kind.name}, which a file manages, managed here from now on."
    return endpoint


async def apply(
    request: Request,
    source: Source = "",
    mode: Mode = "apply",
    dry_run: DryRun = False,
    take_over: TakeOver = False,
) -> AppliedOut:
    """Make the objects of ``source`` what the file in the body says: those it no longer has are deleted, but for
    keys. All of it or nothing; keys of the file need a key with the area ``keys``. With ``mode=import`` nothing is
    deleted, and the objects are managed here afterwards."""
    if mode == "apply" and not source:
        raise InvalidRequest("source: say whose objects these are, such as source=omniroute.yaml", param="source")
    text = documents.file_text(await request.body(), media_type(request))
    applied = await management_of(request).apply(identity_of(request), text, source, mode, dry_run, take_over)
    return AppliedOut.of(applied, dry_run)


async def export(request: Request) -> Response:
    """The whole configuration as one file, which ``apply`` takes. Secrets are left where they are."""
    text = await management_of(request).export(management_of(request).caller(identity_of(request)))
    return Response(text, media_type="text/yaml")


def _quoted(etag: str) -> str:
    return f'"{etag}"'
