"""Who may come to the management surface: the same door as the edge's, and pages of origins of its own."""

import gzip
from pathlib import Path

import httpx
import pytest
from omni_catalogue.doorway import Doorway
from omni_catalogue.guard import Addresses, Cors
from omni_catalogue.snapshot import Server

from tests.security.world import World, world

APP = "https://admin.example.org"
ASKING = {"origin": APP, "access-control-request-method": "PUT", "access-control-request-headers": "authorization"}


async def test_the_management_surface_has_the_same_door(tmp_path: Path) -> None:
    async with world(tmp_path) as made, made.client("dashboard") as client:
        client.headers["authorization"] = f"Bearer {made.keys['admin'][0]}"
        await _by_address_and_host(made, client)
        await _by_origin(made, client)
        packed = await client.put(
            "/api/teams/packed", content=gzip.compress(b"{}"),
            headers={"content-type": "application/json", "content-encoding": "gzip"},
        )  # fmt: skip
        assert packed.status_code == 415


async def _by_address_and_host(made: World, client: httpx.AsyncClient) -> None:
    _open(made, Server(addresses=Addresses(networks=("127.0.0.0/8",))))
    for path in ("/api/me", "/api/about", "/"):
        refused = await client.get(path)
        assert refused.status_code == 403, path
        assert refused.json()["code"] == "address_not_allowed"
    assert (await client.get("/healthz")).status_code == 200
    proxied = Server(
        addresses=Addresses(networks=("192.0.2.0/24",)), trusted_proxies=("127.0.0.1",), trusted_header="forwarded"
    )
    _open(made, proxied)
    for header, status in (({"forwarded": "for=192.0.2.7"}, 403), ({"x-forwarded-for": "192.0.2.7"}, 200)):
        assert (await client.get("/api/me", headers=header)).status_code == status
    _open(made, Server(hosts=("admin.example.org",)))
    for host, status in (("admin.example.org", 200), ("evil.example.org", 421)):
        assert (await client.get("/api/me", headers={"host": host})).status_code == status


async def _by_origin(made: World, client: httpx.AsyncClient) -> None:
    _open(made, Server(cors=Cors(origins=(APP,))))
    assert "access-control-allow-origin" not in (await client.get("/api/me", headers={"origin": APP})).headers
    _open(made, Server(management_cors=Cors(origins=(APP,), methods=("GET", "PUT"), credentials=True)))
    del client.headers["authorization"]
    told = await client.options("/api/teams/one", headers=ASKING)
    assert told.status_code == 204
    assert told.headers["access-control-allow-methods"] == "GET, PUT"
    assert told.headers["access-control-allow-credentials"] == "true"
    answer = await client.get("/api/me", headers={"origin": APP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, APP)
    for path, origin in (("/api/me", "https://evil.example.org"), ("/", APP)):
        answer = await client.get(path, headers={"origin": origin})
        assert "access-control-allow-origin" not in answer.headers
    client.headers["authorization"] = f"Bearer {made.keys['admin'][0]}"


def _open(made: World, server: Server) -> None:
    made.management.door = Doorway(server)


@pytest.mark.parametrize("credentials", [True, False])
def test_any_origin_never_goes_with_credentials(credentials: bool) -> None:
    told = dict(Doorway(Server(cors=Cors(origins=("*",), credentials=credentials))).models.preflight(b"https://x"))
    assert told[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-credentials" not in told
