"""A router with an account that is logged in to: what its requests carry, and what comes of a token that is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, UpstreamRejected

from tests.support.router import Harness, harness, provider
from tests.support.scripted import Peer, Scripted, scripted

ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


class LoggedIn:
    """AuthPort, of one login whose tokens are "token-1", "token-2" and so on."""

    def __init__(self) -> None:
        self.number, self.asked, self.refreshed = 1, 0, 0
        self.dead = self.is_login = False
        self.base_url = ""

    def _credential(self) -> Credential:
        token = f"token-{self.number:012}"
        headers = {"authorization": f"Bearer {token}", "x-account": "a-1"}
        return Credential(token, str(self.number), "codex/work", headers, base_url=self.base_url)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        self.asked += 1
        return self._credential() if account_id == "acme/first" else Credential("sk-other", "1")

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        self.refreshed += 1
        await asyncio.sleep(0.05)
        if self.dead:
            raise CredentialUnavailable("codex/work: log in again")
        if version_seen == str(self.number):
            self.number += 1
        return self._credential()


class Provider:
    """Takes the token of ``good``; ``breaks`` is whether its streams end in an error of that token's."""

    def __init__(self) -> None:
        self.good, self.status, self.breaks = "token-000000000001", 401, False
        self.seen: list[str] = []

    async def play(self, peer: Peer) -> None:
        while request := (await peer.request()).decode("latin-1"):
            self.seen.append(request)
            if f"Bearer {self.good}" not in request and "Bearer sk-other" not in request:
                await self._say(peer, self.status, {"error": {"message": "the token is not good", "type": "auth"}})
            elif '"stream":true' in request.replace(" ", ""):
                await self._stream(peer)
                return
            else:
                await self._say(peer, 200, ANSWER)

    async def _say(self, peer: Peer, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        await peer.say(head.encode() + body)

    async def _stream(self, peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        first = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]}
        await peer.say(f"data: {json.dumps(first)}\n\n".encode())
        error = {"error": {"message": "the token was revoked", "type": "authentication_error", "code": 401}}
        await peer.say(f"data: {json.dumps(error)}\n\n".encode())


@pytest.fixture
async def house(clean_redis: str) -> AsyncIterator[tuple[Harness, LoggedIn, Provider, Scripted]]:
    theirs, auth = Provider(), LoggedIn()
    async with harness(clean_redis) as router, scripted(theirs.play) as served:
        router.tools.credentials._auth = auth  # type: ignore[assignment]
        router.configure(
            provider("acme", f"{served.url}/v1"),
            provider("other", f"{served.url}/v1"),
            combos=(s.Combo(name="both", strategy="fill-first", targets=("acme/m", "other/m")),),
        )
        yield router, auth, theirs, served


async def test_requests_carry_what_the_login_says(house):
    router, auth, theirs, _ = house
    await router.ask("acme/m")
    assert "x-account: a-1" in theirs.seen[0].lower()
    assert theirs.seen[0].lower().count("authorization:") == 1
    assert (auth.asked, auth.refreshed) == (1, 0)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_renewed_and_the_same_account_asked_once_more(house, status):
    router, auth, theirs, _ = house
    theirs.good, theirs.status = "token-000000000002", status
    head, _ = await router.ask("both")
    assert head.provider == "acme"
    assert (len(theirs.seen), auth.refreshed) == (2, 1)
    await router.ask("both")
    assert (len(theirs.seen), auth.refreshed) == (3, 1)
    attempts, requests = await router.events()
    assert (len(attempts), len(requests)) == (2, 2)


async def test_ten_that_are_refused_together_ask_auth_once(house):
    router, auth, theirs, _ = house
    theirs.good = "token-000000000002"
    heads = await asyncio.gather(*(router.ask("acme/m") for _ in range(10)))
    assert len(heads) == 10
    assert auth.refreshed == 1


async def test_a_second_refusal_goes_on_to_the_next_account(house):
    router, auth, theirs, _ = house
    theirs.good = "nobody's"
    head, _ = await router.ask("both")
    assert head.provider == "other"
    assert ([request.count("token-") for request in theirs.seen], auth.refreshed) == ([1, 1, 0], 1)


async def test_a_login_that_is_dead_goes_on_to_the_next_account_and_else_tells_the_refusal(house):
    router, auth, theirs, _ = house
    theirs.good, auth.dead = "nobody's", True
    assert (await router.ask("both"))[0].provider == "other"
    with pytest.raises(UpstreamRejected, match="the token is not good"):
        await router.ask("acme/m")


async def test_an_api_key_that_is_refused_is_not_renewed(house):
    router, auth, theirs, served = house
    theirs.good = "nobody's"
    router.configure(
        provider("acme2", f"{served.url}/v1", accounts=(s.Account(id="k/1", name="1", secret_version="1"),))
    )
    auth.credential = _key
    with pytest.raises(UpstreamRejected):
        await router.ask("acme2/m")
    assert auth.refreshed == 0


async def _key(context: CallContext, account_id: str) -> Credential:
    return Credential("sk-wrong-key-of-somebody", "1")


async def test_a_token_that_is_revoked_in_mid_stream_is_told_and_the_next_request_has_another(house):
    router, auth, theirs, _ = house
    parts: list[Any] = []
    try:
        async for frame in router.service.complete(router.call("acme/m", stream=True)):
            parts.append(frame)  # noqa: PERF401 - what came before it breaks is wanted too
    except Exception as error:  # noqa: BLE001 - whichever way it is told
        parts.append(error)
    told = "".join(
        part.decode() if isinstance(part, bytes) else str(getattr(part, "error", part)) for part in parts[1:]
    )
    assert "Hel" in told
    assert "the token was revoked" in told
    assert auth.refreshed == 0
    theirs.good = "token-000000000002"
    await router.ask("acme/m")
    assert auth.refreshed == 1


async def test_an_account_that_is_led_elsewhere_is_asked_there(house):
    router, auth, theirs, served = house
    auth.base_url = f"{served.url}/elsewhere"
    await router.ask("acme/m")
    assert theirs.seen[0].startswith("POST /elsewhere/chat/completions ")


@pytest.mark.parametrize(
    ("model", "asked"),
    [("", b"GET /elsewhere/models "), ("m", b"POST /elsewhere/chat/completions ")],
    ids=["its models", "a token"],
)
async def test_a_test_of_an_account_that_is_led_elsewhere_asks_there(house, model, asked):
    router, auth, _, _ = house
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.say(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with scripted(play) as elsewhere:
        auth.base_url = f"{elsewhere.url}/elsewhere"
        await router.service.test_account(CallContext("a-test"), "acme/first", model)
    assert [each.startswith(asked) for each in seen] == [True]
