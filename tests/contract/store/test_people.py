"""People who log in, on SQLite and on PostgreSQL: the service over its store, with passwords that cost little."""

import asyncio
from collections.abc import Iterator
from hashlib import shake_256

import pyotp
import pytest
from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.domain import people, totp
from omni_auth.domain.entities import Entity
from omni_auth.people import PeopleService
from omni_core.ids import new_id
from omni_core.ports.configuration import Caller
from omni_core.ports.people import LogIn, Opened, Origin
from omni_wire.errors import GatewayError, InvalidRequest, RateLimited, Unauthenticated

from tests.support.store import Place

PASSWORD, OTHER = "a horse and a staple", "quite another sentence"
HERE = Origin("192.0.2.7", "a browser")
CALLER = Caller("t", "default")


class House:
    """``now`` in epoch ms; ``drawn`` counts tokens."""

    def __init__(self, place: Place, store: SqlStore) -> None:
        self.now, self.drawn = 1_800_000_000_000, 0
        self.store, self.log = store, AuditLog(store.database)
        self.people = SqlPeople(store.database, place.vault(store.database))
        self.passwords = Argon2(kib=64, passes=1)
        self.service = PeopleService(
            self.people, self.passwords, now=lambda: self.now, chance=self.chance, mint=new_id
        )  # fmt: skip

    def chance(self, size: int) -> bytes:
        self.drawn += 1
        return shake_256(self.drawn.to_bytes(8, "big")).digest(size)

    async def owner(self) -> Opened:
        return await self.service.redeem(HERE, await self.service.offer_setup(), "ada", PASSWORD)

    async def person(self, name: str, role: str = "developer", origin: Origin = HERE) -> Opened:
        made = await self.service.invite(CALLER, name, role)
        return await self.service.redeem(origin, made.token, "", PASSWORD)

    async def log_in(self, name: str, password: str = PASSWORD, origin: Origin = HERE, **more: object) -> Opened:
        return await self.service.log_in(origin, LogIn("default", name, password, **more))  # type: ignore[arg-type]

    async def knows(self, opened: Opened) -> bool:
        try:
            await self.service.who(people.digest(opened.token))
        except Unauthenticated:
            return False
        return True

    def noted(self) -> list[str]:
        return [entry.action for entry in reversed(self.log.newest()) if entry.action.startswith("people.")]


@pytest.fixture
def house(place: Place, store: SqlStore) -> Iterator[House]:
    made = House(place, store)
    yield made
    made.service.close()


async def refused(answer: object, code: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await answer  # type: ignore[misc]
    assert caught.value.code == code, caught.value
    return caught.value


async def test_the_first_owner_is_set_up_once_by_a_token_that_is_told_once(house: House) -> None:
    assert (await house.service.options()).needs_setup
    token = await house.service.offer_setup()
    assert await house.service.offer_setup() == "", "one is out already"
    newer = await house.service.offer_setup(renew=True)
    await refused(house.service.look(token), "token_not_known")
    assert (await house.service.look(newer)).kind == "setup"
    opened = await house.service.redeem(HERE, newer, "ada", PASSWORD)
    assert (opened.who.person.name, opened.who.person.role) == ("ada", "owner")
    await refused(house.service.redeem(HERE, newer, "eve", PASSWORD), "token_not_known")
    assert await house.service.offer_setup(renew=True) == ""
    assert not (await house.service.options()).needs_setup
    assert house.noted() == ["people.setup"]


async def test_a_setup_token_ends_after_a_day(house: House) -> None:
    token = await house.service.offer_setup()
    house.now += people.DAY
    await refused(house.service.redeem(HERE, token, "ada", PASSWORD), "token_not_known")
    assert await house.service.offer_setup() != ""


async def test_of_two_who_redeem_a_token_at_once_one_does(house: House) -> None:
    token = await house.service.offer_setup()
    answers = await asyncio.gather(
        *(house.service.redeem(HERE, token, name, PASSWORD) for name in ("ada", "eve")), return_exceptions=True
    )
    assert sorted(isinstance(answer, Opened) for answer in answers) == [False, True]


async def test_every_log_in_is_a_session_of_its_own_and_only_its_hash_is_kept(house: House) -> None:
    first = await house.owner()
    second = await house.log_in("ada", known=people.digest("ors-planted by somebody"))
    assert first.token != second.token
    assert len(second.token) > 43
    assert (await house.service.who(people.digest(second.token))).person.name == "ada"
    place = house.store.database
    with place.reading() as connection:
        for table in ("sessions", "one_time_tokens", "people", "audit"):
            rows = str(connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall())
            assert second.token not in rows
            assert PASSWORD not in rows


async def test_who_logs_in_again_ends_the_session_that_the_browser_had(house: House) -> None:
    first = await house.owner()
    second = await house.log_in("ada", known=people.digest(first.token))
    assert (await house.knows(first), await house.knows(second)) == (False, True)


async def test_wrong_unknown_disabled_and_unfinished_are_told_alike(house: House) -> None:
    await house.owner()
    await house.person("bo")
    await house.service.invite(CALLER, "cy", "viewer")
    await house.service.invite(CALLER, "robot", "service")
    bo = next(one for one in await house.service.list_people(CALLER) if one.name == "bo")
    await house.service.change_person(CALLER, bo.id, disabled=True)
    told = set()
    for name, password in (("ada", OTHER), ("nobody", PASSWORD), ("bo", PASSWORD), ("cy", ""), ("robot", "")):
        error = await refused(house.log_in(name, password), "wrong_login")
        told.add((error.status, error.message, error.retry_after))
    assert len(told) == 1
    assert house.noted()[-5:] == ["people.login_refused"] * 5


async def test_guessing_waits_longer_each_time_and_does_not_keep_the_owner_out(house: House) -> None:
    owner = await house.owner()
    for _ in range(5):
        await refused(house.log_in("ada", OTHER), "wrong_login")
    waited = []
    for _ in range(4):
        error = await refused(house.log_in("ada", PASSWORD), "rate_limit_exceeded")
        assert error.retry_after
        waited.append(error.retry_after)
        house.now += int(error.retry_after * 1000)
        await refused(house.log_in("ada", OTHER), "wrong_login")
    assert waited == [1, 2, 4, 8]
    assert await house.knows(owner), "who is in stays in"
    again = await house.log_in("ada", known=people.digest(owner.token))
    assert await house.knows(again), "and comes in where they were in before"
    await refused(house.log_in("ADA", PASSWORD), "rate_limit_exceeded")


async def test_guesses_at_names_that_nobody_has_are_slowed_alike(house: House) -> None:
    for _ in range(5):
        await refused(house.log_in("nobody"), "wrong_login")
    await refused(house.log_in("nobody"), "rate_limit_exceeded")


async def test_an_address_that_tries_many_names_is_slowed(house: House) -> None:
    await house.owner()
    for number in range(30):
        await refused(house.log_in(f"n{number}"), "wrong_login")
    await refused(house.log_in("another"), "rate_limit_exceeded")
    await refused(house.log_in("ada"), "rate_limit_exceeded")
    assert await house.log_in("ada", origin=Origin("198.51.100.1"))


async def test_an_office_behind_one_address_logs_in_and_a_guesser_there_is_slowed_all_the_same(house: House) -> None:
    await house.owner()
    for _ in range(40):
        await house.log_in("ada")
    for number in range(30):
        await refused(house.log_in(f"nobody-{number}"), "wrong_login")
        if number % 10 == 0:
            await house.log_in("ada")
    assert isinstance(await refused(house.log_in("one more"), "rate_limit_exceeded"), RateLimited)


async def test_tries_count_when_they_begin(house: House) -> None:
    await house.owner()
    answers = await asyncio.gather(*(house.log_in("ada", OTHER) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 7


async def test_a_session_ends_by_itself_and_where_it_is_ended(house: House) -> None:
    idle = await house.owner()
    house.now += people.IDLE - 1
    assert await house.knows(idle)
    house.now += people.IDLE
    assert not await house.knows(idle)
    busy = await house.log_in("ada")
    for _ in range(26):
        assert await house.knows(busy)
        house.now += people.ABSOLUTE // 26 + 1
    assert not await house.knows(busy)
    one, two, three = [await house.log_in("ada") for _ in range(3)]
    listed = await house.service.list_sessions(people.digest(one.token))
    assert {found.id for found in listed} == {opened.who.session.id for opened in (one, two, three)}
    assert await house.service.end_sessions(people.digest(one.token), two.who.session.id) == 1
    assert [await house.knows(opened) for opened in (one, two, three)] == [True, False, True]
    assert await house.service.end_sessions(people.digest(one.token)) == 1
    assert [await house.knows(opened) for opened in (one, two, three)] == [True, False, False]
    await house.service.end_sessions(people.digest(one.token), one.who.session.id)
    assert not await house.knows(one)


async def test_nobody_ends_somebody_elses_session(house: House) -> None:
    owner, other = await house.owner(), await house.person("bo")
    assert await house.service.end_sessions(people.digest(other.token), owner.who.session.id) == 0
    assert await house.knows(owner)


async def test_a_new_password_ends_all_sessions_but_a_new_one(house: House) -> None:
    first = await house.owner()
    second = await house.log_in("ada")
    wrong = house.service.change_password(HERE, people.digest(first.token), OTHER, "a third sentence here")
    await refused(wrong, "wrong_password")
    weak = house.service.change_password(HERE, people.digest(first.token), PASSWORD, "short")
    await refused(weak, "weak_password")
    third = await house.service.change_password(HERE, people.digest(first.token), PASSWORD, OTHER)
    assert [await house.knows(opened) for opened in (first, second, third)] == [False, False, True]
    await refused(house.log_in("ada"), "wrong_login")
    assert await house.log_in("ada", OTHER)


async def test_a_password_that_was_hashed_with_less_is_hashed_anew(house: House) -> None:
    await house.owner()
    before = house.people.find("default", "ada")
    stronger = Argon2(kib=128, passes=2)
    service = PeopleService(house.people, stronger, now=lambda: house.now, chance=house.chance, mint=new_id)
    await service.log_in(HERE, LogIn("default", "ada", PASSWORD))
    after = house.people.find("default", "ada")
    assert before is not None
    assert after is not None
    assert "m=64,t=1" in before.password
    assert "m=128,t=2" in after.password
    assert await house.log_in("ada")
    service.close()


async def test_people_are_invited_changed_and_removed_and_all_of_it_is_written_down(house: House) -> None:
    await house.owner()
    made = await house.service.invite(CALLER, " bo ", "viewer")
    assert (made.person.name, made.person.status) == ("bo", "invited")
    await refused(house.service.invite(CALLER, "bo", "viewer"), "taken")
    await refused(house.service.invite(CALLER, "cy", "king"), "bad_request")
    bo = await house.service.redeem(HERE, made.token, "somebody else", PASSWORD)
    assert (bo.who.person.name, bo.who.person.role) == ("bo", "viewer")
    changed = await house.service.change_person(CALLER, bo.who.person.id, role="admin")
    assert (changed.role, await house.knows(bo)) == ("admin", False)
    bo = await house.log_in("bo")
    reset = await house.service.reset_person(CALLER, bo.who.person.id, "password")
    assert not await house.knows(bo)
    await refused(house.log_in("bo"), "wrong_login")
    bo = await house.service.redeem(HERE, reset.token, "", OTHER)
    await house.service.reset_person(CALLER, bo.who.person.id, "sessions")
    assert not await house.knows(bo)
    await house.service.remove_person(CALLER, bo.who.person.id)
    await refused(house.log_in("bo", OTHER), "wrong_login")
    assert [one.name for one in await house.service.list_people(CALLER)] == ["ada"]
    assert await house.service.invite(CALLER, "bo", "viewer"), "the user that is there gets another login"
    told = ["setup", "invite", "accept", "role", "login", "reset_password", "login_refused", "password"]
    told += ["sessions_ended", "remove", "login_refused", "invite"]
    assert house.noted() == [f"people.{word}" for word in told]
    assert house.log.verify().bad is None


async def test_the_only_owner_stays(house: House) -> None:
    owner = (await house.owner()).who.person
    await refused(house.service.change_person(CALLER, owner.id, role="viewer"), "last_owner")
    await refused(house.service.change_person(CALLER, owner.id, disabled=True), "last_owner")
    await refused(house.service.remove_person(CALLER, owner.id), "last_owner")
    await house.person("bo", "owner")
    assert (await house.service.change_person(CALLER, owner.id, role="viewer")).role == "viewer"


async def test_another_organisations_people_are_nobody(house: House) -> None:
    with house.store.database.writing() as connection:
        held = Entity(kind="organisations", id="guests", organisation="guests", document={"name": "guests"})
        repository = Repository(house.store.database, "organisations")
        repository.write(connection, held, expected=0, now=1, actor="t")
    owner = (await house.owner()).who.person
    guests = Caller("t", "guests")
    assert await house.service.list_people(guests) == ()
    for doing in (
        house.service.change_person(guests, owner.id, role="viewer"),
        house.service.reset_person(guests, owner.id, "password"),
        house.service.remove_person(guests, owner.id),
    ):
        await refused(doing, "not_found")
    made = await house.service.invite(guests, "ada", "owner")
    assert made.person.id != owner.id, "names are each organisation's own"
    await house.service.redeem(HERE, made.token, "", OTHER)
    await refused(house.log_in("ada", OTHER), "wrong_login")
    assert (await house.service.log_in(HERE, LogIn("guests", "ada", OTHER))).who.person.organisation == "guests"


async def test_a_user_who_may_log_in_is_not_deleted_under_them(house: House, place: Place) -> None:
    owner = (await house.owner()).who.person
    users = Repository(house.store.database, "users")
    with pytest.raises(InvalidRequest, match="may log in"):
        users.delete("default", owner.id, expected=None, now=1, actor="t")


async def test_a_second_factor_counts_once_it_was_confirmed_and_each_code_once(house: House) -> None:
    opened = await house.owner()
    session = people.digest(opened.token)
    offered = await house.service.begin_totp(session)
    assert offered.uri.startswith("otpauth://totp/OmniRoute:ada?secret=")
    shown = pyotp.TOTP(offered.secret)
    await refused(house.service.confirm_totp(HERE, session, "000000"), "wrong_code")
    assert await house.log_in("ada"), "it does not count yet"
    code = shown.at(house.now // 1000)
    enrolled = await house.service.confirm_totp(HERE, session, code)
    assert not await house.knows(opened)
    assert await house.knows(enrolled.opened)
    assert len(set(enrolled.codes)) == totp.CODES
    await refused(house.log_in("ada"), "totp_needed")
    await refused(house.log_in("ada", code=code), "totp_needed")
    house.now += 30_000
    code = shown.at(house.now // 1000)
    assert await house.log_in("ada", code=code)
    await refused(house.log_in("ada", code=code), "totp_needed")
    house.now += 3_600_000
    assert await house.log_in("ada", code=enrolled.codes[3].upper())
    await refused(house.log_in("ada", code=enrolled.codes[3]), "totp_needed")
    assert await house.log_in("ada", code=enrolled.codes[4])


async def test_a_code_that_two_use_at_once_lets_one_in(house: House) -> None:
    opened = await house.owner()
    offered = await house.service.begin_totp(people.digest(opened.token))
    shown = pyotp.TOTP(offered.secret)
    await house.service.confirm_totp(HERE, people.digest(opened.token), shown.at(house.now // 1000))
    house.now += 30_000
    code = shown.at(house.now // 1000)
    answers = await asyncio.gather(*(house.log_in("ada", code=code) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, Opened) for answer in answers) == 1


async def test_a_link_for_another_password_does_not_go_round_the_second_factor(house: House) -> None:
    opened = await house.owner()
    offered = await house.service.begin_totp(people.digest(opened.token))
    shown = pyotp.TOTP(offered.secret)
    await house.service.confirm_totp(HERE, people.digest(opened.token), shown.at(house.now // 1000))
    reset = await house.service.reset_person(CALLER, opened.who.person.id, "password")
    await refused(house.service.redeem(HERE, reset.token, "", OTHER), "totp_needed")
    house.now += 30_000
    assert await house.service.redeem(HERE, reset.token, "", OTHER, shown.at(house.now // 1000))


async def test_a_second_factor_is_removed_by_its_owner_with_the_password_and_by_who_may(house: House) -> None:
    opened = await house.owner()
    for _ in range(2):
        offered = await house.service.begin_totp(people.digest(opened.token))
        code = pyotp.TOTP(offered.secret).at(house.now // 1000)
        opened = (await house.service.confirm_totp(HERE, people.digest(opened.token), code)).opened
        await refused(house.service.remove_totp(people.digest(opened.token), OTHER), "wrong_password")
        await house.service.remove_totp(people.digest(opened.token), PASSWORD)
        assert (await house.log_in("ada")).who.person.has_totp is False
        assert await house.knows(opened)
        house.now += 60_000


async def test_a_second_factor_is_sealed_and_comes_along_when_keys_rotate(house: House, place: Place) -> None:
    opened = await house.owner()
    offered = await house.service.begin_totp(people.digest(opened.token))
    vault = place.vault(house.store.database)
    assert vault.used() != {}
    assert vault.opened() == ({}, {}), "no account's"
    with house.store.database.reading() as connection:
        assert offered.secret not in str(connection.exec_driver_sql("SELECT * FROM credentials").fetchall())


async def test_an_organisation_may_ask_for_a_second_factor(house: House) -> None:
    opened = await house.owner()
    assert not opened.who.must_enrol
    repository = Repository(house.store.database, "organisations")
    held = repository.get("default", "default")
    assert held is not None
    wanted = Entity(kind="organisations", id="default", organisation="default",
                    document={"name": "default", "require_totp": "true"})  # fmt: skip
    repository.put(wanted, expected=None, now=1, actor="t")
    assert (await house.service.who(people.digest(opened.token))).must_enrol


@pytest.mark.parametrize("name", ["Özlem", "ИВАН", "Élodie@example.org"])
async def test_a_name_is_found_in_whatever_letters_it_is_written(house: House, name: str) -> None:
    opened = await house.service.redeem(HERE, await house.service.offer_setup(), name, PASSWORD)
    assert (await house.log_in(name)).who.person.id == opened.who.person.id
    assert (await house.log_in(name.lower())).who.person.id == opened.who.person.id
    made = await house.service.invite(CALLER, f"{name} the younger", "viewer")
    reset = await house.service.redeem(HERE, made.token, "", OTHER)
    assert (reset.who.person.id, reset.who.person.role) == (made.person.id, "viewer")
