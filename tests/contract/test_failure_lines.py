"""A failed request leaves one line: which, what kind, whose; one that the client is to blame for leaves none."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from omni_core.failures import PeerAway
from omni_core.ports.context import CallContext
from omni_wire.errors import (
    DependencyUnavailable,
    GatewayError,
    ModelNotFound,
    UpstreamError,
    UpstreamFailed,
    UpstreamRejected,
)

from tests.support.edge import BEARER, Edge, raising, running_edge
from tests.support.router import Harness

CHAT = "/v1/chat/completions"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as made:
        yield made


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found = [record for record in caplog.records if record.name.startswith("omniroute.")]
    assert all(record.levelno >= logging.WARNING for record in found)
    return [record.__dict__["fields"] for record in found]


async def fails(gw: Harness, model: str, **options: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await gw.ask(model, **options)
    return caught.value


async def test_a_providers_failure_is_one_line_without_its_words(gw: Harness, caplog: pytest.LogCaptureFixture) -> None:
    error = await fails(gw, "acme/sim+status:503")
    assert isinstance(error, UpstreamFailed)
    assert error.reported
    (line,) = told(caplog)
    assert line.pop("attempts") >= 1
    assert line == {
        "request_id": "the-clients-own", "kind": "upstream_failed", "outcome": "failed", "status": 503,
        "model": "acme/sim+status:503", "key": "key-all", "provider": "acme", "account": "acme/first",
    }  # fmt: skip


async def test_a_stream_that_breaks_off_is_one_line(gw: Harness, caplog: pytest.LogCaptureFixture) -> None:
    error = await fails(gw, "acme/sim+cut:2", stream=True)
    assert isinstance(error, UpstreamError)
    (line,) = told(caplog)
    assert (line["kind"], line["outcome"], line["provider"]) == (error.kind, "partial", "acme")
    assert line["detail"] == error.message, "these words are ours"


@pytest.mark.parametrize(("model", "kind"), [("nobody/x", ModelNotFound), ("acme/sim+status:400", UpstreamRejected)])
async def test_the_clients_own_mistakes_leave_no_line(
    gw: Harness, caplog: pytest.LogCaptureFixture, model: str, kind: type[GatewayError]
) -> None:
    assert isinstance(await fails(gw, model), kind)
    assert told(caplog) == []


async def test_a_credential_that_the_provider_refuses_is_told(gw: Harness, caplog: pytest.LogCaptureFixture) -> None:
    await fails(gw, "acme/sim+status:401")
    (line,) = told(caplog)
    assert (line["kind"], line["status"], line["account"]) == ("upstream_rejected", 401, "acme/first")


async def test_a_request_that_goes_well_leaves_nothing(gw: Harness, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="omniroute"):
        await gw.ask("acme/sim")
        await gw.ask("acme/sim", stream=True)
    assert told(caplog) == []


async def test_a_surprise_is_one_line_with_its_stack(gw: Harness, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def credential(self, context: CallContext, account_id: str) -> None:
            raise RuntimeError("a bug")

    gw.service._tools.credentials._auth = Broken()  # type: ignore[assignment]  # nothing else here can surprise
    await fails(gw, "acme/sim")
    mine = [record for record in caplog.records if record.name == "omniroute.router" and "failed" in record.message]
    assert any(record.exc_info and "a bug" in str(record.exc_info[1]) for record in mine)
    assert [r.__dict__["fields"]["request_id"] for r in mine if hasattr(r, "fields")] == ["the-clients-own"]


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (PeerAway("the router is not reachable"), 1),
        (DependencyUnavailable("no router has announced itself yet"), 1),
        (ModelNotFound("no such model"), 0),
    ],
)
async def test_the_edge_tells_what_no_router_could(
    edge: Edge, caplog: pytest.LogCaptureFixture, error: GatewayError, lines: int
) -> None:
    await ask(edge, error)
    found = told(caplog)
    assert len(found) == lines
    for line in found:
        assert line == {
            "request_id": "mine", "trace_id": TRACE, "kind": "dependency_unavailable", "detail": error.message,
        }  # fmt: skip


async def test_what_the_router_has_told_the_edge_does_not_repeat(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    error = DependencyUnavailable("Redis is away")
    error.reported = True
    await ask(edge, error)
    assert told(caplog) == []


async def ask(edge: Edge, error: GatewayError) -> None:
    edge.router.script = raising(error)
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        answer = await client.post(CHAT, json={}, headers=headers)
    assert answer.status_code == error.status, answer.text
