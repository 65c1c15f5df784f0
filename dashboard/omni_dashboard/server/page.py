"""The web page: a few files, served from memory."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from omni_dashboard.ports import Asset


def register(app: FastAPI, assets: Mapping[str, Asset]) -> None:
    for path, found in assets.items():
        app.router.add_api_route(path, _serve(found), methods=["GET", "HEAD"], include_in_schema=False)


def _serve(found: Asset) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        return Response(found.body, headers=headers, media_type=found.media_type)

    return serve
