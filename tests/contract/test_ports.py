"""The same promises hold whether a port is called in process or over gRPC.

Each test runs twice: once against a small implementation itself, once through its gRPC twin.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import omni_analytics.server
import omni_auth.server
import omni_quota.server
import omni_router.server
import omni_translator.server
import pytest
from omni_auth.adapters import people_server
from omni_catalogue.rules import AnswerRules, RequestRules, ThinkingRule
from omni_catalogue.scopes import Scopes
from omni_core.clients.analytics import AnalyticsClient
from omni_core.clients.auth import AuthClient
from omni_core.clients.people import PeopleClient
from omni_core.clients.quota import QuotaClient
from omni_core.clients.router import RouterClient
from omni_core.clients.translator import TranslatorClient
from omni_core.identity import SERVICES, Caller
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    AnalyticsPort,
    Breakdown,
    Charge,
    DeadLetter,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Repriced,
    RepricedGroup,
    RequestFound,
    Slice,
    Standing,
    StatementLine,
    Update,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_core.ports.auth import AuthPort, Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import ANYBODY
from omni_core.ports.configuration import Caller as Asker
from omni_core.ports.context import CallContext
from omni_core.ports.logins import LoginInfo, LoginKind, LoginPoll, Logins, LoginStart, NewLogin
from omni_core.ports.people import Enrolment, LogIn, LoginOptions, OidcProvider, Origin, PeoplePort
from omni_core.ports.quota import (
    AccountQuota,
    AllowanceState,
    BreakerState,
    KeyState,
    LimitState,
    QuotaPort,
    QuotaSnapshot,
    QuotaWindowState,
)
from omni_core.ports.router import CompleteCall, ConnectionTest, Frame, Head, ModelEntry, RouterPort
from omni_core.ports.translator import (
    EncodeCall,
    EncodedRequest,
    Loss,
    Parties,
    RenamedTool,
    StreamCall,
    Translated,
    TranslatorPort,
)
from omni_core.rpc import RpcServer, open_channel
from omni_wire.errors import (
    CredentialUnavailable,
    DependencyUnavailable,
    GatewayError,
    InvalidRequest,
    LossRefused,
    RateLimited,
    StreamInterrupted,
    Unauthenticated,
    UpstreamFailed,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.unit.dashboard.folk import PASSWORD, Folk, digest
from tests.unit.dashboard.ports import FOUND

CONTEXT = CallContext("0192f0c1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
REGISTER: dict[type, Callable[[RpcServer, Any], None]] = {
    RouterClient: omni_router.server.register,
    TranslatorClient: omni_translator.server.register,
    AuthClient: omni_auth.server.register,
    QuotaClient: omni_quota.server.register,
    AnalyticsClient: omni_analytics.server.register,
    PeopleClient: people_server.register,
}

Reach = Callable[[Any, type], Awaitable[Any]]


@pytest.fixture(params=["in process", "gRPC"])
async def reach(request: pytest.FixtureRequest) -> AsyncIterator[Reach]:
    """``reach(implementation, client class)`` is the port as its caller holds it."""
    server = RpcServer("127.0.0.1", 0, "token")
    channels = []

    async def wire(port: Any, client: type) -> Any:
        if request.param == "in process":
            return port
        REGISTER[client](server, port)
        channels.append(open_channel(f"127.0.0.1:{await server.start()}", Caller(SERVICES, "token")))
        return client(channels[0])

    yield wire
    for channel in channels:
        await channel.close()
    await server.stop(0)


async def collect(source: AsyncGenerator[Any, None]) -> tuple[list[Any], GatewayError | None]:
    """What came, and the error that ended it."""
    seen: list[Any] = []
    try:
        async for item in source:
            seen.append(item)  # noqa: PERF401 — what came before the error counts
    except GatewayError as error:
        return seen, error
    return seen, None


# ---- router ---------------------------------------------------------------------------------------------------------

HEAD = Head(
    200,
    True,
    "text/event-stream",
    "acme",
    "gpt-x",
    ("logit_bias", "seed"),
    True,
    ("clamp",),
    True,
    0.5,
    "a way",
    stages=(5, 0, 2**40, 1, 2, 3),
)
CALL = CompleteCall(
    CONTEXT,
    "key-1",
    WireFormat.OPENAI_CHAT,
    b'{"model":"\xff"}',
    "event-1",
    {"user-agent": "openai/3", "x-a": "\u00e9"},
    2,
    "gemini-x",
    True,
    "array",
)


class Router:
    def __init__(self, *frames: Frame | Exception) -> None:
        self.frames = frames
        self.call: CompleteCall | None = None
        self.left = asyncio.Event()

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        self.call = call
        try:
            for frame in self.frames:
                if isinstance(frame, Exception):
                    raise frame
                yield frame
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            self.left.set()

    async def explain(self, call: CompleteCall) -> bytes:
        self.call = call
        return b'{"model":"\xc3\xa4"}'

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        assert context == CONTEXT
        return ConnectionTest(
            False, "completion", f"{account_id} {model}", 404, 12, "upstream_rejected", model, "p", "global", "1.2.3.4"
        )

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        assert context == CONTEXT
        return ConnectionTest(True, "tunnel", name)

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        assert (context, key_id) == (CONTEXT, "key-1")
        return [ModelEntry("always-on", "omniroute"), ModelEntry("acme/gpt-x", "acme", 1, 272_000, 128_000)]

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        assert (context, key_id) == (CONTEXT, "key-1")
        if not model:
            raise InvalidRequest("the request names no model", param="model")
        assert (client_format, model, headers) == (WireFormat.GEMINI_GENERATE, "gemini-x", {"a": "b"})
        return len(body)


def _is_router(port: Router) -> RouterPort:
    return port


async def test_the_call_arrives_as_it_was_made_and_the_answer_in_order(reach: Reach) -> None:
    router = Router(HEAD, *(b"data: %d\n\n" % number for number in range(100)))
    port: RouterPort = await reach(router, RouterClient)
    (head, *rest), error = await collect(port.complete(CALL))
    assert error is None
    assert router.call == CALL
    assert head == HEAD
    assert b"".join(rest) == b"".join(b"data: %d\n\n" % number for number in range(100))


async def test_an_error_before_the_head_is_all_there_is(reach: Reach) -> None:
    router = Router(UpstreamFailed("it answered 500", status=503, retry_after=7))
    port: RouterPort = await reach(router, RouterClient)
    seen, error = await collect(port.complete(CALL))
    assert seen == []
    assert isinstance(error, UpstreamFailed)
    assert (error.message, error.status, error.retry_after) == ("it answered 500", 503, 7)


async def test_an_error_in_mid_stream_comes_after_the_data_before_it(reach: Reach) -> None:
    router = Router(HEAD, b"one", b"two", StreamInterrupted("cut"))
    port: RouterPort = await reach(router, RouterClient)
    (head, *rest), error = await collect(port.complete(CALL))
    assert head == HEAD
    assert b"".join(rest) == b"onetwo"
    assert isinstance(error, StreamInterrupted)


async def test_closing_the_answer_closes_the_implementation(reach: Reach) -> None:
    router = Router(HEAD, *[b"x"] * 100_000)
    port: RouterPort = await reach(router, RouterClient)
    async with aclosing(port.complete(CALL)) as frames:
        assert await anext(frames) == HEAD
    async with asyncio.timeout(30):
        await router.left.wait()


async def test_an_explanation_is_asked_for_as_a_request_is_made(reach: Reach) -> None:
    router = Router()
    port: RouterPort = await reach(router, RouterClient)
    call = CompleteCall(CONTEXT, "key-1", WireFormat.GEMINI_GENERATE, b"{}", "", {"a": "b"}, model="m", stream=True)
    assert await port.explain(call) == b'{"model":"\xc3\xa4"}'
    assert router.call == call


async def test_a_test_of_a_connection_comes_back_whole(reach: Reach) -> None:
    port: RouterPort = await reach(Router(), RouterClient)
    assert await port.test_account(CONTEXT, "acme/first", "gpt-x") == ConnectionTest(
        False, "completion", "acme/first gpt-x", 404, 12, "upstream_rejected", "gpt-x", "p", "global", "1.2.3.4"
    )
    assert await port.test_proxy(CONTEXT, "office") == ConnectionTest(True, "tunnel", "office")


async def test_models_keep_their_order_and_their_numbers(reach: Reach) -> None:
    port: RouterPort = await reach(Router(), RouterClient)
    assert await port.models(CONTEXT, "key-1") == await Router().models(CONTEXT, "key-1")


async def test_a_call_that_says_little_arrives_with_what_it_left_unsaid(reach: Reach) -> None:
    router = Router(HEAD)
    port: RouterPort = await reach(router, RouterClient)
    short = CompleteCall(CONTEXT, "key-1", WireFormat.OPENAI_CHAT, b"{}", "event-1")
    await collect(port.complete(short))
    assert router.call == short
    assert (short.model, short.stream, short.framing) == ("", False, "sse")


async def test_tokens_are_counted_of_the_very_bytes_that_were_sent(reach: Reach) -> None:
    port: RouterPort = await reach(Router(), RouterClient)
    gemini = WireFormat.GEMINI_GENERATE
    assert await port.count_tokens(CONTEXT, "key-1", gemini, "gemini-x", b'{"\xff":1}', {"a": "b"}) == 7
    with pytest.raises(InvalidRequest) as raised:
        await port.count_tokens(CONTEXT, "key-1", gemini, "", b"{}")
    assert raised.value.param == "model"


# ---- translator -----------------------------------------------------------------------------------------------------

ENCODE = EncodeCall(
    CONTEXT,
    WireFormat.OPENAI_CHAT,
    WireFormat.ANTHROPIC_MESSAGES,
    b'{"a":1}',
    "claude-x",
    32_000,
    True,
    True,
    Parties("key-1", "claude", "account-1", "claude-x"),
    RequestRules(
        developer_to_system=True,
        system_to_user=True,
        thinking=ThinkingRule(mode="custom", budget=7, effort="low"),
        strip_thinking=True,
        prefix="before",
        suffix="after",
        clamp=True,
        max_output=8,
        context=9,
    ),
    True,
    b"what came before",
    True,
)
TOOLS = (RenamedTool("multi__spawn", "spawn", "multi"), RenamedTool("exec", "exec", freeform=True))
STREAM = StreamCall(
    CONTEXT,
    WireFormat.OPENAI_CHAT,
    WireFormat.ANTHROPIC_MESSAGES,
    True,
    False,
    "gpt-x",
    True,
    1_700_000_000,
    "chatcmpl-1",
    "array",
    TOOLS,
    Parties("key-1", "claude", "account-1", "claude-x"),
    AnswerRules(sanitize=True, think_tags=True),
    True,
    b"what came before",
    True,
    Usage(10, 4, 3, 7, 2, True),
)
LOSS = Loss("logit_bias", "dropped", "the provider has no such field")
USAGE = Usage(10, 4, 3, 7, 2, True)


class Translator:
    """Upper-cases, counts, and fails where the bytes say so."""

    def __init__(self) -> None:
        self.calls: list[EncodeCall | StreamCall] = []
        self.left = asyncio.Event()

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        self.calls.append(call)
        if call.body == b"lossy":
            raise LossRefused("logit_bias would be dropped", param="logit_bias")
        return EncodedRequest(call.body.upper(), (LOSS,), TOOLS, ("clamp",))

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        self.calls.append(call)
        count = 0
        try:
            ended = False
            try:
                async for chunk in source:
                    if b"bad" in chunk:
                        raise UpstreamFailed("not its format")
                    count += len(chunk)
                    ended = b"end" in chunk
                    begun = b"again" in chunk
                    yield Translated(chunk.upper(), Usage(output_tokens=count), losses=(LOSS,), begun=begun)
            except StreamInterrupted:
                if not ended:
                    raise
            yield Translated(b".", USAGE, True, "stop", (LOSS,))
        finally:
            self.left.set()


def _is_translator(port: Translator) -> TranslatorPort:
    return port


async def chunks(*values: bytes | Exception) -> AsyncGenerator[bytes, None]:
    for value in values:
        if isinstance(value, Exception):
            raise value
        yield value
        await asyncio.sleep(0.01)  # so that the translator sees it before the next


async def test_a_request_is_encoded_with_everything_the_caller_said(reach: Reach) -> None:
    translator = Translator()
    port: TranslatorPort = await reach(translator, TranslatorClient)
    assert await port.encode_request(ENCODE) == EncodedRequest(b'{"A":1}', (LOSS,), TOOLS, ("clamp",))
    assert translator.calls == [ENCODE]


async def test_a_refused_loss_names_its_field(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    lossy = EncodeCall(CONTEXT, WireFormat.OPENAI_CHAT, WireFormat.GEMINI_GENERATE, b"lossy", "m", 1)
    with pytest.raises(LossRefused) as raised:
        await port.encode_request(lossy)
    assert raised.value.param == "logit_bias"


async def test_that_the_rest_of_an_answer_has_begun_is_told(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    items, error = await collect(port.translate_stream(STREAM, chunks(b"one ", b"again ", b"two")))
    assert error is None
    assert b"AGAIN " in b"".join(item.data for item in items if item.begun)
    items, _ = await collect(port.translate_stream(STREAM, chunks(b"one ", b"two")))
    assert not any(item.begun for item in items)


async def test_a_stream_is_translated_to_its_end(reach: Reach) -> None:
    translator = Translator()
    port: TranslatorPort = await reach(translator, TranslatorClient)
    items, error = await collect(port.translate_stream(STREAM, chunks(b"one ", b"two ", b"three")))
    assert error is None
    assert translator.calls == [STREAM]
    assert b"".join(item.data for item in items) == b"ONE TWO THREE."
    assert [item.finished for item in items] == [False] * (len(items) - 1) + [True]
    assert items[-1].usage == USAGE
    assert items[-1].finish_reason == "stop"
    assert items[-1].losses == (LOSS,)


async def test_an_empty_source_is_an_answer_too(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    items, error = await collect(port.translate_stream(STREAM, chunks()))
    assert error is None
    assert [item.data for item in items] == [b"."]


async def test_a_large_burst_is_neither_lost_nor_reordered(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)

    async def burst() -> AsyncGenerator[bytes, None]:
        for number in range(20_000):
            yield b"%06d," % number

    items, error = await collect(port.translate_stream(STREAM, burst()))
    assert error is None
    assert b"".join(item.data for item in items) == b"".join(b"%06d," % number for number in range(20_000)) + b"."


async def test_what_was_converted_comes_before_the_translators_error(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    items, error = await collect(port.translate_stream(STREAM, chunks(b"good ", b"bad", b"never")))
    assert b"".join(item.data for item in items) == b"GOOD "
    assert isinstance(error, UpstreamFailed)


async def test_what_was_converted_comes_before_the_sources_error(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    items, error = await collect(
        port.translate_stream(STREAM, chunks(b"one ", b"two", StreamInterrupted("the provider hung up")))
    )
    assert b"".join(item.data for item in items) == b"ONE TWO"
    assert isinstance(error, StreamInterrupted)
    assert error.message == "the provider hung up"
    assert not any(item.finished for item in items)


async def test_a_source_that_breaks_after_the_answers_end_takes_nothing_from_it(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    items, error = await collect(
        port.translate_stream(STREAM, chunks(b"one ", b"end", StreamInterrupted("the provider hung up")))
    )
    assert error is None
    assert b"".join(item.data for item in items) == b"ONE END."
    assert items[-1].finished


async def test_any_error_of_the_source_passes_through(reach: Reach) -> None:
    port: TranslatorPort = await reach(Translator(), TranslatorClient)
    with pytest.raises(ZeroDivisionError):
        [item async for item in port.translate_stream(STREAM, chunks(b"one", ZeroDivisionError()))]


async def test_closing_a_translation_closes_the_implementation(reach: Reach) -> None:
    translator = Translator()
    port: TranslatorPort = await reach(translator, TranslatorClient)
    async with aclosing(port.translate_stream(STREAM, chunks(*[b"x"] * 1000))) as items:
        assert (await anext(items)).data == b"X"
    async with asyncio.timeout(30):
        await translator.left.wait()


# ---- auth -----------------------------------------------------------------------------------------------------------

SCOPES = Scopes(
    providers=("acme", "eu-*"),
    endpoints=("chat",),
    ips=("10.0.0.0/8",),
    management=("keys:read",),
    expires=1_900_000_000,
)
KEY = KeyInfo(
    "k1",
    "ci",
    "admin",
    ("gpt-*", "acme/*"),
    600,
    25_000_000_000,
    "week",
    "api",
    1_700_000_000,
    "or-ab",
    "{}",
    SCOPES,
    7,
    "core",
    "ann",
)
PLAIN = KeyInfo("k2", "plain", "developer", (), 0, 0, "month", "file", 0)


ASKER = Asker("key:k1 (ci)", "default")
CREDENTIAL = Credential(
    "sk-secret", "v3", "codex/work", {"authorization": "Bearer sk-secret", "x-account": "a"}, 2**41, "p", "https://x",
    "gh-secret",
)  # fmt: skip
NEW_LOGIN = NewLogin("kiro-idc", "work", "device", 8080, "kiro-idc", {"region": "eu-west-1"})
LOGIN = LoginInfo("codex/work", "codex", "Codex", "ann@example.com", "closed", "log in again", 9, 8, 7, ("codex/a",))
LOGIN_KIND = LoginKind("codex", "Codex", ("code", "import"), "a risk", "a note", ("idp",), "set X", 1455, True)


class Auth:
    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        assert context == CONTEXT
        if key_digest != bytes(range(224, 256)):
            raise Unauthenticated("no such key")
        return Identity("k1", "ci", "admin", SCOPES)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        assert context == CONTEXT
        if account_id != "acme/first":
            raise CredentialUnavailable(f"{account_id} has no credential")
        return CREDENTIAL

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        assert context == CONTEXT
        return msgspec.structs.replace(CREDENTIAL, version=f"after {version_seen}")

    async def begin_login(self, caller: Asker, new: NewLogin) -> LoginStart:
        assert (caller, new) == (ASKER, NEW_LOGIN)
        return LoginStart("f1", "device", "https://provider.example", 9, "http://localhost:1", "AB-CD", 5.5)

    async def finish_login(self, caller: Asker, callback: str) -> LoginInfo:
        assert (caller, callback) == (ASKER, "code#state")
        return LOGIN

    async def poll_login(self, caller: Asker, flow: str) -> LoginPoll:
        return LoginPoll(wait=2.5) if flow == "f1" else LoginPoll(LOGIN)

    async def import_login(self, caller: Asker, new: NewLogin, tokens: str) -> LoginInfo:
        assert (new.login, new.accept_terms, new.parameters, tokens) == ("kiro", "kiro", {"idp": "Google"}, "{}")
        return LOGIN

    async def list_logins(self, caller: Asker) -> Logins:
        return Logins((LOGIN,), (LOGIN_KIND,))

    async def forget_login(self, caller: Asker, login: str) -> None:
        if login != LOGIN.id:
            raise InvalidRequest("no such login", status=404)

    async def refresh_login(self, caller: Asker, login: str) -> LoginInfo:
        return LOGIN

    async def configuration(self) -> Configuration:
        return Configuration(2**63 + 1, b'{"revision":\xff}', "line 3: no such provider")

    async def create_key(self, new: NewKey, caller: Asker = ANYBODY) -> CreatedKey:
        if new.name == "ci":
            raise InvalidRequest("the name is taken", param="name")
        return CreatedKey(
            KeyInfo(
                "k9", new.name, new.role, new.models, new.requests_per_minute, new.budget_nano_usd, new.budget_window,
                "api", 5, "or-zz", new.rules, new.scopes, 0, new.team, new.user,
            ),
            "or-zzsecret",
        )  # fmt: skip

    async def list_keys(self, caller: Asker = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        return [PLAIN] if revoked else [KEY, PLAIN]

    async def rotate_key(self, key: str, overlap: int, caller: Asker = ANYBODY) -> CreatedKey:
        if overlap > 7:
            raise InvalidRequest("overlap: too long", param="overlap")
        return CreatedKey(msgspec.structs.replace(KEY, older_until=overlap), f"or-new-{key}")

    async def revoke_key(self, key: str, caller: Asker = ANYBODY) -> KeyInfo:
        if key not in ("k1", "ci"):
            raise InvalidRequest(f"there is no key {key}", param="key")
        return KEY


def _is_auth(port: Auth) -> AuthPort:
    return port


async def test_a_key_is_known_by_its_digest(reach: Reach) -> None:
    port: AuthPort = await reach(Auth(), AuthClient)
    assert await port.authenticate(CONTEXT, bytes(range(224, 256))) == Identity("k1", "ci", "admin", SCOPES)
    with pytest.raises(Unauthenticated, match="no such key"):
        await port.authenticate(CONTEXT, b"other")


async def test_a_credential_comes_with_its_version_or_not_at_all(reach: Reach) -> None:
    port: AuthPort = await reach(Auth(), AuthClient)
    found = await port.credential(CONTEXT, "acme/first")
    assert found == CREDENTIAL
    assert "secret" not in repr(found)
    assert (await port.refresh_credential(CONTEXT, "acme/first", "v3")).version == "after v3"
    with pytest.raises(CredentialUnavailable):
        await port.credential(CONTEXT, "acme/second")


async def test_logins_cross_whole_and_without_a_secret(reach: Reach) -> None:
    port = await reach(Auth(), AuthClient)
    assert await port.begin_login(ASKER, NEW_LOGIN) == await Auth().begin_login(ASKER, NEW_LOGIN)
    assert await port.finish_login(ASKER, "code#state") == LOGIN
    assert await port.poll_login(ASKER, "f1") == LoginPoll(wait=2.5)
    assert await port.poll_login(ASKER, "f2") == LoginPoll(LOGIN)
    new = NewLogin("kiro", accept_terms="kiro", parameters={"idp": "Google"})
    assert await port.import_login(ASKER, new, "{}") == LOGIN
    assert await port.list_logins(ASKER) == Logins((LOGIN,), (LOGIN_KIND,))
    assert await port.refresh_login(ASKER, "codex/work") == LOGIN
    await port.forget_login(ASKER, "codex/work")
    with pytest.raises(InvalidRequest, match="no such login") as refused:
        await port.forget_login(ASKER, "codex/other")
    assert refused.value.status == 404


async def test_the_configuration_crosses_byte_for_byte(reach: Reach) -> None:
    port: AuthPort = await reach(Auth(), AuthClient)
    assert await port.configuration() == await Auth().configuration()


@pytest.mark.parametrize(
    "new",
    [NewKey("a"), NewKey("b", "admin", ("x", "y/*"), 60, 5_000_000_000, "total", "clamp: on", SCOPES, "core", "ann")],
)
async def test_keys_are_made_listed_and_revoked(reach: Reach, new: NewKey) -> None:
    port: AuthPort = await reach(Auth(), AuthClient)
    assert await port.create_key(new) == await Auth().create_key(new)
    assert await port.list_keys() == [KEY, PLAIN]
    assert await port.list_keys(revoked=True) == [PLAIN]
    assert await port.revoke_key("ci") == KEY
    with pytest.raises(InvalidRequest, match="there is no key zz"):
        await port.revoke_key("zz")
    with pytest.raises(InvalidRequest) as raised:
        await port.create_key(NewKey("ci"))
    assert raised.value.param == "name"


async def test_a_key_gets_a_new_secret(reach: Reach) -> None:
    port: AuthPort = await reach(Auth(), AuthClient)
    assert await port.rotate_key("ci", 7) == await Auth().rotate_key("ci", 7)
    with pytest.raises(InvalidRequest) as raised:
        await port.rotate_key("ci", 8)
    assert raised.value.param == "overlap"


# ---- quota and analytics --------------------------------------------------------------------------------------------

STATE = QuotaSnapshot(
    (
        KeyState("k1", 5, 600, 10**15, 7, 25 * 10**9, "month", 1_700_000_000, 2**45, ("l1", "l2")),
        KeyState("k2", 0, 0, 0, 0, 0, "", 0),
    ),
    (
        BreakerState("acme/first", "open", 5, 12.5, "gpt-x", "best", "quota", True),
        BreakerState("claude/a", "closed", 0, 0.0),
    ),
    3,
    (
        LimitState(
            *("l1", "team/core/monthly", "default", 5, 600, 10**15, 7, 25 * 10**9, "month", 1_700_000_000, -1),
            allowances=(
                AllowanceState("tokens", 10**12, "5h", 2**40, 7, 1_700_000_000),
                AllowanceState("concurrent", 20, "", 0, 3, 0, "shadow"),
            ),
        ),
        LimitState("l2", "all", "default", 0, 5, 0, 0, 0, "", 0),
    ),
    waiting_events=2**40,
    accounts=(
        AccountQuota(
            "claude/a",
            "max",
            "hello",
            (
                QuotaWindowState(
                    *("week:opus", "percent", 9_950, 10_000, 1_700_000_000.5, False, ("*opus*",), "fetched", 2**41),
                    stale=True,
                    exhausts_at=1.5,
                    is_aside=True,
                ),
                QuotaWindowState("once", "usd", 2**50, 0, unlimited=True),
            ),
            *(2**41, 2**41 + 1, 3, "HTTP 500", 1_700_000_000.25, True, 2.5, 20.0),
        ),
        AccountQuota("acme/first"),
    ),
)


class Quota:
    def __init__(self) -> None:
        self.reset_accounts: list[str] = []

    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        return STATE if not key_id else QuotaSnapshot(STATE.keys[:1], (), 0)

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        if account_id != "claude/a":
            raise RateLimited("only just", retry_after=7.5)
        return STATE.accounts[0]

    async def reset(self, account_id: str) -> None:
        self.reset_accounts.append(account_id)

    async def forget_rates(self, account_id: str) -> None:
        self.reset_accounts.append(f"rates of {account_id}")


def _is_quota(port: Quota) -> QuotaPort:
    return port


async def test_limits_and_breakers_are_shown_and_reset(reach: Reach) -> None:
    quota = Quota()
    port: QuotaPort = await reach(quota, QuotaClient)
    assert await port.snapshot() == STATE
    assert await port.snapshot("k1") == QuotaSnapshot(STATE.keys[:1], (), 0)
    await port.reset("acme/first")
    await port.forget_rates("acme/first")
    assert quota.reset_accounts == ["acme/first", "rates of acme/first"]
    assert await port.refresh_quota("claude/a") == STATE.accounts[0]
    with pytest.raises(RateLimited) as raised:
        await port.refresh_quota("acme/first")
    assert raised.value.retry_after == 7.5


TOTALS = UsageTotals(1000, 3, 1004, 10**12, 5, 6, 7, 8, 10**15, 9)


USE = {"key-ci": KeyUse(2**40, 1_700_000_000_123), "api-1": KeyUse(1, 2)}


POINTS = UsageReport(
    UsageTotals(requests=3),
    {},
    (UsagePoint(2**45, "gpt-x", UsageTotals(requests=3), {7: 1, 200: 2**40}, {3: 2}), UsagePoint(0, "", UsageTotals())),
)


LISTING = Listing("request", 1, 2, {"key": (), "outcome": ("ok", "failed")}, "gpt", "5-x", 50, True)
BROKEN_DOWN = Breakdown(1, 2, ("key", "model"), {"key": ("k1", "k2"), "status": ()}, "hour", ("total", "ttft"))
SLICES = (
    Slice(2**45, ("k1", "gpt-x"), UsageTotals(requests=3), {"total": {7: 1, 200: 2**40}, "ttft": {3: 2}}),
    Slice(0, ("", "a"), UsageTotals(cost_nano_usd=2**60)),
)


UPDATES = (Update("k-0"), Update("k-3", (FOUND,), 2**40))
EVENTS_ASKED = LimitEvents(
    organisation="o", limit_id="l", name="tag/b/soft", percent=80, from_ms=1, until_ms=2**45, before_ms=7,
    before_id="l/tokens/day/9/80", most=5,
)  # fmt: skip
EVENTS = (LimitEvent("l/tokens/day/9/80", 2**45, 80, 2**50, "l", "tag/b/soft", "o", "tokens", "day", 2**51),)
LETTERS = DeadLetters((DeadLetter(2**40 + 1, 2**45, "why", 5, 2**33, 9, "no"), DeadLetter(3, 0, "", 0, 1, 0, "")), 4, 3)


KEPT = tuple(
    KeptBody(
        request_id="0190", told_id="", key_id="key_dev", stage=stage, attempt=attempt, provider="acme", model="m",
        wire_format="openai.chat", at_ms=2**45, until_ms=2**46, size=2**33, content=b"\0\xff{}", redacted=True,
        cut=True,
    )
    for stage, attempt in (("client_request", 0), ("provider_response", 3))
)  # fmt: skip


class Analytics:
    def __init__(self) -> None:
        self.watched: list[tuple[tuple[str, ...] | None, str]] = []
        self.left = asyncio.Event()

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        return KEPT if (id_, key_ids) in (("mine", None), ("mine", ("key_dev",))) else ()

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        return len(await self.bodies(id_, key_ids))

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        assert id_ == "mine"
        assert key_ids in (None, ("key_dev", "key_b"), ())
        return None if key_ids == () else FOUND

    async def key_use(self) -> dict[str, KeyUse]:
        return USE

    async def standing(self) -> Standing:
        return Standing(5, 2**45)

    async def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        if after == "full":
            raise DependencyUnavailable("200 watch already", retry_after=10.0)
        self.watched.append((key_ids, after))
        try:
            for update in UPDATES:
                yield update
            await asyncio.sleep(60)
        finally:
            self.left.set()

    async def listed(self, asked: Listing) -> Listed:
        if asked.kind == "attempt":
            return Listed(attempts=FOUND.attempts)
        assert asked == LISTING
        return Listed((FOUND, msgspec.structs.replace(FOUND, overhead_us=2**40, attempts=())), next="17-a b")

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        assert (from_ms, until_ms) == (2**45, 0)
        return CHARGES

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        assert (provider, from_ms, until_ms) == ("acme", 0, 86_400_000)
        return STATEMENT

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        assert (from_ms, until_ms, book, apply) == (1, 2**45, b"{}", True)
        return REPRICED

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        assert asked == EVENTS_ASKED
        return EVENTS

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        assert (after, limit) == (2**40, 7)
        return LETTERS

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        return Redriven(ids[:1], dict.fromkeys(ids[1:], "not now"))

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids[1:]

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        assert asked in (BROKEN_DOWN, Breakdown())
        return SLICES if asked.dimensions else ()

    async def query(self, query: UsageQuery) -> UsageReport:
        if query.grain:
            assert query == UsageQuery(grain="hour", latency=True)
            return POINTS
        if query.group_by == "moon":
            raise InvalidRequest("group_by must be one of …", param="group_by")
        assert query == UsageQuery(1, 2, "k1", "model", from_rows=True)
        return UsageReport(TOTALS, {"gpt-x": TOTALS, "": UsageTotals()})


CHARGES = [Charge("k1", ("key", "l1"), True, 2**60, -1), Charge("k2", (), False, 0, 1)]
STATEMENT = [StatementLine(2**45, "gpt-x", "partial", "priced", True, "absurd", 1, 2, 3, 4, 5, 2**60)]
REPRICED = Repriced((RepricedGroup("k1", "acme", "gpt-x", 7, 2**60, 1),), 9, 1, 2, 3)


def _is_analytics(port: Analytics) -> AnalyticsPort:
    return port


async def test_the_use_of_keys_is_answered(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.key_use() == USE


async def test_points_in_time_come_with_their_histograms(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.query(UsageQuery(grain="hour", latency=True)) == POINTS


async def test_usage_is_broken_down_by_whatever_is_asked(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.breakdown(BROKEN_DOWN) == SLICES
    assert await port.breakdown(Breakdown()) == ()


async def test_rows_are_listed_a_page_at_a_time(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    page = await port.listed(LISTING)
    assert (page.requests[0], page.requests[1].overhead_us, page.next) == (FOUND, 2**40, "17-a b")
    assert (await port.listed(Listing("attempt"))).attempts == FOUND.attempts


async def test_who_watches_is_told_until_they_leave(reach: Reach) -> None:
    analytics = Analytics()
    port: AnalyticsPort = await reach(analytics, AnalyticsClient)
    for keys in (None, (), ("k1", "k2")):
        watching = port.live(keys, "k-0")
        assert [await anext(watching), await anext(watching)] == [*UPDATES]
        await watching.aclose()
        await asyncio.wait_for(analytics.left.wait(), 5)
    assert analytics.watched == [(None, "k-0"), ((), "k-0"), (("k1", "k2"), "k-0")]
    with pytest.raises(DependencyUnavailable, match="200 watch already"):
        await anext(port.live(None, "full"))


async def test_limits_that_came_to_a_percentage_are_listed(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.limit_events(EVENTS_ASKED) == EVENTS


async def test_what_could_not_be_counted_is_listed_counted_after_all_and_discarded(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.dead_letters(2**40, 7) == LETTERS
    assert await port.redrive((7, 8, 9)) == Redriven((7,), {8: "not now", 9: "not now"})
    assert await port.redrive(()) == Redriven()
    assert await port.discard((7, 8)) == (8,)


async def test_how_far_counting_is_is_answered(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.standing() == Standing(5, 2**45)


async def test_charges_statements_and_corrections_are_answered_in_exact_numbers(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.charges(2**45) == CHARGES
    assert await port.statement("acme", 0, 86_400_000) == STATEMENT
    assert await port.reprice(1, 2**45, b"{}", apply=True) == REPRICED


async def test_the_way_of_a_request_that_failed_comes_with_its_error(reach: Reach) -> None:
    failure = UpstreamFailed("broken")
    failure.trace = "model a/b; a/one failed"
    port: RouterPort = await reach(Router(failure), RouterClient)
    _, error = await collect(port.complete(CALL))
    assert isinstance(error, UpstreamFailed)
    assert error.trace == failure.trace


async def test_a_request_is_found_as_it_was_recorded_for_those_who_may_see_it(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.find_request("mine", None) == FOUND
    assert await port.find_request("mine", ("key_dev", "key_b")) == FOUND
    assert await port.find_request("mine", ()) is None


async def test_bodies_are_answered_byte_for_byte_to_those_who_may_see_them(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.bodies("mine", None) == await port.bodies("mine", ("key_dev",)) == KEPT
    assert await port.bodies("mine", ()) == ()
    assert await port.forget_bodies("mine", ("key_dev",)) == 2
    assert await port.forget_bodies("mine", ()) == 0


async def test_usage_is_answered_in_exact_numbers(reach: Reach) -> None:
    port: AnalyticsPort = await reach(Analytics(), AnalyticsClient)
    assert await port.query(UsageQuery(1, 2, "k1", "model", from_rows=True)) == UsageReport(
        TOTALS, {"gpt-x": TOTALS, "": UsageTotals()}
    )
    with pytest.raises(InvalidRequest) as raised:
        await port.query(UsageQuery(group_by="moon"))
    assert raised.value.param == "group_by"


# ---- people ---------------------------------------------------------------------------------------------------------


def _is_people(port: Folk) -> PeoplePort:
    return port


async def test_people_log_in_and_out_and_are_told_apart_by_their_sessions(reach: Reach) -> None:
    folk = Folk()
    port: PeoplePort = await reach(folk, PeopleClient)
    assert await port.options() == LoginOptions(False, (OidcProvider("corp", "Corp"),))
    asked, origin = LogIn("guests", "owner", PASSWORD, "123456", b"known"), Origin("192.0.2.1", "a browser")
    opened = await port.log_in(origin, asked)
    assert (folk.asked, folk.origins) == ([asked], [origin])
    session = digest(opened.token)
    assert await port.who(session) == opened.who
    assert await port.list_sessions(session) == await folk.list_sessions(session)
    renewed = await port.change_password(origin, session, PASSWORD, "another")
    enrolled = await port.confirm_totp(origin, digest(renewed.token), "123456")
    assert enrolled.codes == ("abcd-efgh",)
    session = digest(enrolled.opened.token)
    assert await port.begin_totp(session) == Enrolment("ABCD", "otpauth://totp/x")
    await port.remove_totp(session, PASSWORD)
    assert await port.end_sessions(session, "s-owner") == 2
    with pytest.raises(Unauthenticated) as caught:
        await port.who(session)
    assert caught.value.code == "session_ended"
    with pytest.raises(Unauthenticated) as caught:
        await port.log_in(origin, LogIn("default", "owner", "wrong"))
    assert caught.value.code == "wrong_login"


async def test_people_are_invited_changed_and_removed(reach: Reach) -> None:
    folk = Folk()
    port: PeoplePort = await reach(folk, PeopleClient)
    caller = Asker("person:u (ada)", "guests")
    assert await port.list_people(caller) == await folk.list_people(caller)
    made = await port.invite(caller, "bo", "viewer")
    assert made == await folk.invite(caller, "bo", "viewer")
    assert (await port.look("orl-good")).kind == "invite"
    assert (await port.redeem(Origin(), "orl-good", "", "x", "1")).who.person.role == "owner"
    assert (await port.change_person(caller, "u-viewer", "admin", False)).role == "admin"
    assert (await port.reset_person(caller, "u-billing", "password")).token == "orl-reset"
    assert (await port.remove_person(caller, "u-developer")).id == "u-developer"
    with pytest.raises(InvalidRequest):
        await port.change_person(caller, "u-nobody")
    assert set(folk.callers) == {caller}
