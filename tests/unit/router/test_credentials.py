"""What a router remembers of a credential, for how long, and what it does when auth does not answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from omni_catalogue.snapshot import Account
from omni_core import clock
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_router.service.credentials import Credentials
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable

ACCOUNT = Account(id="acme/first", name="first", secret_version="1")
CALL = CallContext("request-1")


class Auth:
    """As far as a router needs it; ``answer`` is a secret, or what is raised. While ``hold`` is set nothing comes."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: str | Exception = "secret-1"
        self.hold: asyncio.Event | None = None

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return Credential(self.answer, "whatever")


AWAY = DependencyUnavailable("auth is not reachable")


class Time:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
async def kept(auth: Auth) -> AsyncIterator[Credentials]:
    credentials = Credentials(auth, 60.0, timeout=0.05, pause=0.5)  # type: ignore[arg-type]
    yield credentials
    await credentials.close()


async def settled(credentials: Credentials) -> None:
    """What is asked in the background has been answered."""
    while tasks := list(credentials._asking.values()):
        await asyncio.wait(tasks)


async def test_a_credential_is_asked_for_once_and_then_known(time: Time, auth: Auth, kept: Credentials) -> None:
    assert kept.known(ACCOUNT).secret == ""
    assert (await kept.ask(CALL, ACCOUNT)).secret == "secret-1"
    time.now += 29
    assert kept.known(ACCOUNT).secret == "secret-1"
    assert auth.asked == 1


async def test_those_who_need_the_same_one_ask_together(auth: Auth, kept: Credentials) -> None:
    auth.hold = asyncio.Event()
    asking = [asyncio.create_task(kept.ask(CALL, ACCOUNT)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # its client left
    await asyncio.sleep(0)
    auth.hold.set()
    assert [one.secret for one in await asyncio.gather(*asking[1:])] == ["secret-1"] * 4
    assert auth.asked == 1


async def test_it_is_asked_again_in_the_background_when_half_its_time_is_over(
    time: Time, auth: Auth, kept: Credentials
) -> None:
    await kept.ask(CALL, ACCOUNT)
    time.now += 31
    auth.answer = "secret-2"
    assert kept.known(ACCOUNT).secret == "secret-1"  # nobody waits
    assert kept.known(ACCOUNT).secret == "secret-1"
    await settled(kept)
    assert auth.asked == 2
    assert kept.known(ACCOUNT).secret == "secret-2"
    time.now += 59
    assert kept.known(ACCOUNT).secret == "secret-2"


async def test_while_auth_is_away_it_lasts_sixty_seconds_and_no_longer(
    time: Time, auth: Auth, kept: Credentials
) -> None:
    await kept.ask(CALL, ACCOUNT)
    auth.answer = AWAY
    for _ in range(59 * 4):
        time.now += 0.25
        assert kept.known(ACCOUNT).secret == "secret-1"
        await settled(kept)
    assert auth.asked < 2 + 60  # it is not asked at every request
    time.now += 1.1
    assert kept.known(ACCOUNT).secret == ""
    with pytest.raises(CredentialUnavailable) as caught:
        await kept.ask(CALL, ACCOUNT)
    assert caught.value.retry_after == 1.0
    assert "secret" not in caught.value.message


async def test_nothing_stays_in_memory_beyond_its_time(auth: Auth) -> None:
    credentials = Credentials(auth, 0.05)  # type: ignore[arg-type]
    await credentials.ask(CALL, ACCOUNT)
    async with asyncio.timeout(5):
        while credentials._kept:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    await credentials.close()


async def test_without_auth_it_is_told_soon_and_then_at_once_for_a_moment(
    time: Time, auth: Auth, kept: Credentials
) -> None:
    auth.hold = asyncio.Event()  # it hangs: the question has a bound of its own
    with pytest.raises(CredentialUnavailable):
        await kept.ask(CALL, ACCOUNT)
    for _ in range(10):
        with pytest.raises(CredentialUnavailable):
            await kept.ask(CALL, ACCOUNT)
    assert auth.asked == 1
    auth.hold = None
    time.now += 0.6
    assert (await kept.ask(CALL, ACCOUNT)).secret == "secret-1"


async def test_a_new_version_of_a_secret_is_never_served_by_the_old_one(auth: Auth, kept: Credentials) -> None:
    await kept.ask(CALL, ACCOUNT)
    newer = Account(id=ACCOUNT.id, name=ACCOUNT.name, secret_version="2")
    assert kept.known(newer).secret == ""
    auth.answer = AWAY
    with pytest.raises(CredentialUnavailable):
        await kept.ask(CALL, newer)


async def test_one_that_the_provider_refused_is_asked_for_again_before_it_is_used(
    auth: Auth, kept: Credentials
) -> None:
    await kept.ask(CALL, ACCOUNT)
    kept.forget(ACCOUNT.id)
    kept.forget("acme/never-asked")
    auth.answer = "secret-2"
    assert kept.known(ACCOUNT).secret == ""
    assert (await kept.ask(CALL, ACCOUNT)).secret == "secret-2"
    assert kept.known(ACCOUNT).secret == "secret-2"


async def test_one_that_the_provider_refused_is_better_than_none_while_auth_is_away(
    time: Time, auth: Auth, kept: Credentials
) -> None:
    """A provider may say 403 because of one client's request; that must not close the account to all others."""
    await kept.ask(CALL, ACCOUNT)
    kept.forget(ACCOUNT.id)
    auth.answer = AWAY
    assert (await kept.ask(CALL, ACCOUNT)).secret == "secret-1"
    time.now += 61
    with pytest.raises(CredentialUnavailable):
        await kept.ask(CALL, ACCOUNT)


async def test_an_account_that_auth_does_not_know_any_more_is_forgotten_at_once(
    time: Time, auth: Auth, kept: Credentials
) -> None:
    await kept.ask(CALL, ACCOUNT)
    auth.answer = CredentialUnavailable("there is no such account")
    time.now += 31
    assert kept.known(ACCOUNT).secret == "secret-1"
    await settled(kept)
    assert kept.known(ACCOUNT).secret == ""
    with pytest.raises(CredentialUnavailable, match="no such account"):
        await kept.ask(CALL, ACCOUNT)


async def test_an_account_that_needs_none_asks_nobody(auth: Auth, kept: Credentials) -> None:
    auth.answer = AWAY
    local = Account(id="local/any", name="any", secret_version="")
    assert kept.known(local).secret == ""
    assert (await kept.ask(CALL, local)).secret == ""
    assert auth.asked == 0


async def test_a_fault_of_ours_is_told_in_the_log_and_asked_again(
    time: Time, auth: Auth, kept: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    await kept.ask(CALL, ACCOUNT)
    auth.answer = RuntimeError("nobody foresaw this")
    time.now += 31
    assert kept.known(ACCOUNT).secret == "secret-1"
    await settled(kept)
    await asyncio.sleep(0)
    assert "failed unexpectedly" in caplog.text
    assert kept.known(ACCOUNT).secret == "secret-1"
