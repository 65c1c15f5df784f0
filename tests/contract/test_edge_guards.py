"""Who gets in at the edge, over real sockets: addresses, hosts, origins, how often, how fast the wrong keys."""

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from hashlib import sha256

import httpx
import msgspec
import pytest
from omni_catalogue.guard import Addresses, Ban, Cors, Guard
from omni_core.crowd import Crowd
from omni_core.http_protocol import BoundedHttpProtocol
from omni_core.ports.auth import Identity
from omni_core.ports.router import CompleteCall, Frame
from omni_core.redis import open_redis
from omni_edge.adapters.shared_tallies import RedisTallies
from omni_edge.domain.limiter import Limiter
from omni_wire.errors import RateLimited
from starlette.types import Receive, Scope, Send

from tests.support.edge import (
    BEARER,
    KEY,
    WHOLE,
    Edge,
    completion,
    read_answer,
    running_edge,
    serving,
    snapshot,
)
from tests.support.router import harness, provider
from tests.support.servers import redis_server

CHAT, BODY = "/v1/chat/completions", {"model": "a/b", "messages": [{"role": "user", "content": "hi"}]}
PROXIED = ("127.0.0.0/8",)
WRONG = {"authorization": "Bearer or-wrong"}


def configured(edge: Edge, **server: object) -> None:
    found = snapshot(edge.service.revision + 1)
    settings = msgspec.structs.replace(found.server, **{"trusted_proxies": PROXIED, **server})
    edge.service.configure(msgspec.structs.replace(found, server=settings))


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, timeout=30) as client:
        yield client


def of(address: str, **more: str) -> dict[str, str]:
    return {"x-forwarded-for": address, **more}


async def test_a_blocked_network_is_kept_out_of_everything_but_probes(edge: Edge, client: httpx.AsyncClient) -> None:
    configured(edge, addresses=Addresses(networks=("192.0.2.0/24", "2001:db8::/32")))
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::9"):
        refused = await client.post(CHAT, json=BODY, headers=of(address))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "address_not_allowed")
        assert (await client.get("/v1/models", headers=of(address))).status_code == 403
        assert (await client.get("/healthz", headers=of(address))).status_code == 200
    assert (await client.post(CHAT, json=BODY, headers=of("198.51.100.1"))).status_code == 200
    configured(edge, addresses=Addresses(mode="allow", networks=("192.0.2.0/24",)))
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200
    for address in ("198.51.100.1", "192.0.2.7, 198.51.100.1", "192.0.2.7, unknown"):
        assert (await client.post(CHAT, json=BODY, headers=of(address))).status_code == 403, address


async def test_a_ban_ends_when_it_says_so(edge: Edge, client: httpx.AsyncClient) -> None:
    configured(edge, bans=(Ban(network="192.0.2.7", until=edge.wall + 60, reason="a secret of ours"),))
    refused = await client.post("/v1/messages", json=BODY, headers=of("192.0.2.7"))
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    assert "secret" not in refused.text
    edge.wall += 60
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200


async def test_forwarded_is_believed_only_where_that_is_said_and_then_nothing_else(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    blocked = Addresses(networks=("192.0.2.0/24",))
    standard = {"forwarded": 'for=203.0.113.1, for="192.0.2.7:4711";proto=https'}
    configured(edge, addresses=blocked)
    assert (await client.post(CHAT, json=BODY, headers=standard)).status_code == 200
    configured(edge, addresses=blocked, trusted_header="forwarded")
    assert (await client.post(CHAT, json=BODY, headers=standard)).status_code == 403
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200, "anybody's word"
    spoofed = {
        "forwarded": 'for="203.0.113.1, for=192.0.2.7'
    }  # an open quote of the client's does not hide what follows
    assert (await client.post(CHAT, json=BODY, headers=spoofed)).status_code == 403
    configured(edge, addresses=blocked, trusted_proxies=())
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200, "nobody is believed"


async def test_only_hosts_that_are_named_are_answered_for(edge: Edge, client: httpx.AsyncClient) -> None:
    configured(edge, hosts=("ai.example.org", "*.example.net"))
    for host in ("ai.example.org", "AI.example.org.:443", "a.b.example.net", "localhost:1", "127.0.0.1", "[::1]:80"):
        assert (await client.post(CHAT, json=BODY, headers={"host": host})).status_code == 200, host
    for host in ("evil.example.org", "example.net", "ai.example.org.evil.org", "gateway"):
        refused = await client.post(CHAT, json=BODY, headers={"host": host})
        assert (refused.status_code, refused.json()["error"]["code"]) == (421, "host_not_allowed"), host
    assert (await client.get("/healthz", headers={"host": "pod.example"})).status_code == 200


async def test_a_name_that_was_pointed_at_this_machine_reads_nothing_that_needs_no_key(edge: Edge) -> None:
    edge.service.configure(snapshot(2, require_api_key=False))
    async with httpx.AsyncClient(base_url=edge.url, timeout=30) as client:
        for host in ("rebound.example.org", "rebound.example.org:20128"):
            refused = await client.post(CHAT, json=BODY, headers={"host": host, "origin": f"http://{host}"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (421, "host_not_allowed")
            assert (await client.get("/v1/models", headers={"host": host})).status_code == 421
            assert (await client.post(CHAT, json=BODY, headers={"host": host, **BEARER})).status_code == 200
        assert "server.hosts" in refused.json()["error"]["message"]
        for host in ("localhost", "127.0.0.1:20128", "[::1]", "edge", "host.docker.internal:20128", "nas.local"):
            assert (await client.post(CHAT, json=BODY, headers={"host": host})).status_code == 200, host
        found = snapshot(3, require_api_key=False)
        proxied = msgspec.structs.replace(found.server, trusted_proxies=PROXIED)  # which keeps the host, as nginx may
        edge.service.configure(msgspec.structs.replace(found, server=proxied))
        assert (await client.post(CHAT, json=BODY, headers={"host": "ai.example.org"})).status_code == 200


async def test_pages_of_known_origins_may_read_answers_and_preflights_need_no_key(edge: Edge) -> None:
    app, other = "https://app.example.org", "https://evil.example.org"
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with httpx.AsyncClient(base_url=edge.url, timeout=30) as client:
        off = await client.options(CHAT, headers={"origin": app, **asking})
        assert not [name for name in off.headers if name.startswith("access-control")]
        configured(edge, cors=Cors(origins=(app,), headers=("authorization",), max_age=5, credentials=True))
        told = (await client.options(CHAT, headers={"origin": app, **asking})).headers
        assert told["access-control-allow-origin"] == app
        assert told["access-control-allow-headers"] == "authorization"
        assert (told["access-control-max-age"], told["access-control-allow-credentials"]) == ("5", "true")
        for headers in (BEARER, WRONG):
            answer = await client.post(CHAT, json=BODY, headers={"origin": app, **headers})
            assert answer.headers["access-control-allow-origin"] == app, "of errors, too"
            assert answer.headers["vary"] == "Origin"
        for answer in (
            await client.options(CHAT, headers={"origin": other, **asking}),
            await client.post(CHAT, json=BODY, headers={"origin": other, **BEARER}),
            await client.post(CHAT, json=BODY, headers={"origin": "null", **BEARER}),
        ):
            assert "access-control-allow-origin" not in answer.headers
        configured(edge, cors=Cors(origins=("*",), credentials=True))
        told = (await client.options(CHAT, headers={"origin": other, **asking})).headers
        assert told["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in told


async def test_an_address_that_comes_too_often_is_told_when_to_come_again(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    edge.wall = 1_700_000_040 // 60 * 60
    configured(edge, guard=Guard(requests=3))
    for _ in range(3):
        assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200
    for path, kind in ((CHAT, "rate_limit_error"), ("/v1/messages", "rate_limit_error"), ("/api/chat", None)):
        refused = await client.post(path, json=BODY, headers=of("192.0.2.7"))
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"address";q=3;w=60'
        assert refused.headers["ratelimit"] == f'"address";r=0;t={refused.headers["retry-after"]}'
        error = refused.json()["error"]
        assert (error["type"] if isinstance(error, dict) else None) == kind, "in the dialect of the path"
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.8"))).status_code == 200
    edge.wall += int(refused.headers["retry-after"]) + 1
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200
    configured(edge, guard=Guard(requests=1))
    for address, status in (("2001:db8::1", 200), ("2001:db8::ffff", 429), ("2001:db8:0:1::1", 200)):
        assert (await client.get("/v1/models", headers=of(address))).status_code == status, "all of a /64 is one"


async def test_requests_of_an_address_and_of_a_key_are_bounded_while_they_run(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    release = asyncio.Event()

    async def waiting(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        await release.wait()
        yield WHOLE
        yield completion()

    edge.router.script = waiting
    for guard, code in ((Guard(concurrent=1), "address"), (Guard(key_concurrent=1), "API key")):
        configured(edge, guard=guard)
        release.clear()
        edge.router.calls.clear()
        running = asyncio.create_task(client.post(CHAT, json=BODY))
        async with asyncio.timeout(20):
            while not edge.router.calls:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)
        refused = await client.post(CHAT, json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_at_a_time")
        assert code in refused.json()["error"]["message"]
        release.set()
        assert (await running).status_code == 200
        assert (await client.post(CHAT, json=BODY)).status_code == 200


async def test_a_key_that_comes_too_often_is_refused_whatever_it_asks_for(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    configured(edge, guard=Guard(key_requests=2))
    for _ in range(2):
        assert (await client.get("/v1/models")).status_code == 200
    for refused in (await client.post(CHAT, json=BODY), await client.get("/v1/models")):
        assert (refused.status_code, refused.headers["ratelimit-policy"]) == (429, '"key";q=2;w=60')


async def test_wrong_keys_of_an_address_are_looked_at_so_often_and_no_more(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    configured(edge, guard=Guard(failures=5))
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200
    for number in range(5):
        guess = of("192.0.2.7", authorization=f"Bearer or-guess-{number}")
        assert (await client.post(CHAT, json=BODY, headers=guess)).status_code == 401
    asked = edge.auth.asked
    for path in (CHAT, "/v1/models"):
        for number in range(4, 8):
            guess = of("192.0.2.7", authorization=f"Bearer or-guess-{number}")
            refused = await client.request("POST" if path == CHAT else "GET", path, headers=guess)
            assert refused.status_code == 429
            assert refused.headers["ratelimit-policy"] == '"failures";q=5;w=60'
    assert edge.auth.asked == asked
    configured(edge, guard=Guard(failures=5))  # and so every key is asked about again
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.7"))).status_code == 200, "it was good once"
    assert (await client.post(CHAT, json=BODY, headers=of("192.0.2.8", **WRONG))).status_code == 401, "another address"
    async with httpx.AsyncClient(base_url=edge.url, timeout=30) as keyless:
        for _ in range(7):
            assert (await keyless.post(CHAT, json=BODY, headers=of("192.0.2.9"))).status_code == 401, "none is no guess"


async def test_edges_count_together_and_alone_while_redis_is_away(edge: Edge, client: httpx.AsyncClient) -> None:
    with redis_server() as url:
        redis = open_redis(url)
        async with running_edge() as other, httpx.AsyncClient(base_url=other.url, headers=BEARER) as elsewhere:
            tallies = RedisTallies(redis)
            for each in (edge, other):
                each.wall = 1_700_000_000
                configured(each, guard=Guard(requests=4))
            for _ in range(2):
                assert (await client.post(CHAT, json=BODY)).status_code == 200
                assert (await elsewhere.post(CHAT, json=BODY)).status_code == 200
            for each in (edge, other):
                await each.service.share(tallies)
            assert (await elsewhere.post(CHAT, json=BODY)).status_code == 429
            assert (await client.post(CHAT, json=BODY)).status_code == 200, "it has not heard of the other's yet"
            await edge.service.share(tallies)
            assert (await client.post(CHAT, json=BODY)).status_code == 429
            names = [str(name, "ascii") for name in await redis.keys("*") if isinstance(name, bytes)]
            assert names == [f"edgerl:{{edge}}:address:127.0.0.1:{1_700_000_000 // 60}"]
            assert 0 < await redis.ttl(names[0]) <= 130
        await redis.aclose()
    edge.wall += 180
    away = RedisTallies(open_redis(url), patience=0.5)
    for status in (200, 200, 200, 200, 429):
        assert (await client.post(CHAT, json=BODY)).status_code == status
        await edge.service.share(away)
    assert sum(told.count for told in edge.service.limiter.take(edge.wall)["address"]) == 4, "told when it is back"


async def test_connections_of_an_address_are_bounded_and_counted_down() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    crowd = Crowd()
    crowd.bound(3, str)
    protocol = type("Counted", (BoundedHttpProtocol,), {"crowd": crowd})
    async with serving(app, protocol) as port, contextlib.AsyncExitStack() as exits:
        open_ = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            exits.callback(writer.close)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
            open_.append(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        exits.callback(writer.close)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                assert await reader.read() == b""
        open_[0].close()
        async with asyncio.timeout(20):
            while len(crowd) == 3:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        exits.callback(writer.close)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 204 " in await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_compressed_body_is_bounded_by_what_comes_out_of_it(
    edge: Edge, client: httpx.AsyncClient, encoding: str
) -> None:
    def packed(body: bytes) -> bytes:
        if encoding == "raw deflate":
            packer = zlib.compressobj(9, wbits=-15)
            return packer.compress(body) + packer.flush()
        return gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

    headers = {"content-type": "application/json", "content-encoding": encoding.rpartition(" ")[2]}
    words = b'{"messages":"' + b" ".join(b"%d" % (number * 7919) for number in range(100_000)) + b'"}'
    assert len(words) < 1_000_000 < len(words) * 2
    assert (await client.post(CHAT, content=packed(words), headers=headers)).status_code == 200
    assert edge.router.calls[-1].body == words
    for body in (words * 2, b" " * 30_000_000):  # more than is taken; more than twenty times what came
        answer = await client.post(CHAT, content=packed(body), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert len(edge.router.calls) == 1


async def test_a_request_that_has_been_through_three_gateways_is_not_sent_on(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    for said, status in (
        ("omniroute", 200), ("omniroute, omniroute", 200), ("cdn.example; v=1, omniroute, omniroute;x=y", 200),
        ("omniroute, cdn, OmniRoute;a=b,omniroute", 400),
    ):  # fmt: skip
        answer = await client.post(CHAT, json=BODY, headers={"cdn-loop": said})
        assert answer.status_code == status, said
    assert answer.json()["error"]["code"] == "loop_detected"
    assert edge.router.calls[0].headers["cdn-loop"] == "omniroute"


def test_a_limit_lets_through_what_it_says_and_forgets_who_does_not_come() -> None:
    limiter, now = Limiter(), 1_700_000_000.0
    limiter.configure(Guard(requests=5))
    admitted = 0
    for _ in range(600):
        now += 1
        with contextlib.suppress(RateLimited):
            limiter.enter("a", now)
            limiter.leave("a")
            admitted += 1
    assert 48 <= admitted <= 56, "five a minute, for ten minutes, and a minute's worth at once"


async def test_a_provider_that_is_this_gateway_itself_is_found_out() -> None:
    with redis_server() as url:
        async with harness(url) as router, running_edge(router=router.service) as edge:
            secrets = (KEY, "secret-of-self/first")
            edge.auth.known = {
                sha256(one.encode()).digest(): Identity("key-all", "all", "developer") for one in secrets
            }
            router.configure(provider("self", f"{edge.url}/v1"))
            async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, timeout=30) as client:
                answer = await client.post(CHAT, json={**BODY, "model": "self/self/self/self/self/self/sim"})
                assert answer.status_code == 400
                assert "has passed 3 gateways" in answer.json()["error"]["message"]
            assert edge.sample("omniroute_edge_requests_total", surface="chat", status_class="4xx") == 4


# Every header that a client may send and the router is told of; nothing else leaves the edge.
TOLD = {
    "accept", "anthropic-beta", "anthropic-version", "cdn-loop", "idempotency-key", "openai-beta", "tracestate",
    "user-agent",
}  # fmt: skip
SECRET_HEADERS = (
    "authorization", "x-api-key", "x-goog-api-key", "api-key", "ocp-apim-subscription-key", "proxy-authorization",
    "cookie", "cookie2", "x-auth-token", "x-access-token", "x-amz-security-token", "x-csrf-token", "x-forwarded-for",
    "forwarded", "via", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip", "x-goog-user-project",
    "x-goog-iam-authorization-token", "openai-organization", "openai-project", "x-stainless-lang", "referer", "origin",
    "te", "trailer", "keep-alive", "proxy-connection", "x-session-id", "authentication", "x-vault-token",
    "private-token",
)  # fmt: skip


async def test_nothing_of_a_clients_head_is_told_but_what_is_listed(edge: Edge, client: httpx.AsyncClient) -> None:
    canary = "canary-0123456789abcdef"
    for name in SECRET_HEADERS:
        await client.post(CHAT, json=BODY, headers={"authorization": f"Bearer {KEY}", name: canary})
    for query in (f"key={canary}", f"api_key={canary}", f"access_token={canary}&alt=sse"):
        await client.post(f"{CHAT}?{query}", json=BODY)
        await client.post(f"/v1beta/models/a/b:generateContent?{query}", json=BODY)
    assert len(edge.router.calls) > 30
    for call in edge.router.calls:
        assert canary not in repr(call)
        assert set(call.headers) <= TOLD


PATHS = (
    "/v1/../api/keys", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/..%2f..%2fetc/passwd", "/v1//chat/completions",
    "/v1/./chat/completions", "/v1/chat/completions/", "/v1/chat%2fcompletions%00", "/v1/chat/completions;x=1",
    "/v1\\chat\\completions", "/V1/CHAT/COMPLETIONS", "/v1/chat/completions%20", "/%2e%2e/v1/chat/completions",
    "/v1/models/..%2f..%2f..%2fmetrics/x:generateContentx", "/v1/chat/completions%0d%0aX:y",
)  # fmt: skip


MEDIA = (
    "text/plain", "text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/svg+xml",
    "application/xml", "application/json; charset=utf-16", "application/x-javascript",
)  # fmt: skip


async def test_no_spelling_of_a_path_is_taken_for_another_and_no_method_for_another(edge: Edge) -> None:
    async def status(request: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(request)
        answer = await read_answer(reader)
        writer.close()
        return answer.status

    head = f"Host: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    for path in PATHS:
        assert await status(f"POST {path} HTTP/1.1\r\n{head}".encode()) in (400, 404, 405), path
    for method in ("GET", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "MKCOL", "LOCK", "SEARCH"):
        assert await status(f"{method} /v1/chat/completions HTTP/1.1\r\n{head}".encode()) == 405, method
    for media in MEDIA:
        wrong = head.replace("application/json", media)
        assert await status(f"POST /v1/chat/completions HTTP/1.1\r\n{wrong}".encode()) == 415, media
    assert edge.router.calls == []
