"""``omniroute people``: who may log in at the dashboard. Each verb imports what it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from omni_catalogue.roles import ROLES

from omni_launch.options import data_dir, prepared
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_auth.people import PeopleService
    from omni_core.ports.configuration import Caller
    from omni_core.ports.people import Person

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(short_help="Who may log in: invite, change, reset.")
def people() -> None:
    """Who may log in at the dashboard, whether or not omniroute is running.

    Links are good once: open them at the dashboard's address, behind the "#" stands a secret.
    """


def _of(command: Command) -> Command:
    option = click.option(
        "--organisation", default="default", show_default=True, metavar="NAME", help="Whose people are meant."
    )
    return data_dir(option(command))


def _ask(place: Path | None, organisation: str, ask: "Callable[[PeopleService, Caller], Awaitable[T]]") -> T:
    from omni_auth.adapters.offline_people import caller, open_people

    async def answer() -> T:
        return await ask(found, caller(organisation))

    with open_people(*prepared(place)) as found:
        return asyncio.run(answer())


async def _named(found: "PeopleService", caller: "Caller", name: str) -> "Person":
    """Raises ``CannotStart`` for nobody."""
    for person in await found.list_people(caller):
        if name in (person.name, person.id):
            return person
    raise CannotStart(
        f"nobody called '{name}' may log in at {caller.organisation}", "'omniroute people list' says who may"
    )


@people.command("setup")
@data_dir
def setup(data_dir: Path | None) -> None:
    """A new link for whoever is to own this gateway, while nobody does; an older link ends."""
    from omni_auth.adapters.offline_people import offer_setup

    token = offer_setup(*prepared(data_dir), renew=True)
    if not token:
        raise CannotStart("somebody owns this gateway already", "'omniroute people list' says who")
    click.echo(f"/login#setup={token}")
    click.echo("good once, within a day", err=True)


@people.command("list")
@_of
def list_(organisation: str, data_dir: Path | None) -> None:
    """Who may log in, with what, and when they last did."""
    for person in _ask(data_dir, organisation, lambda found, caller: found.list_people(caller)):
        last = datetime.fromtimestamp(person.last_login / 1000, UTC).isoformat(timespec="seconds")
        seen = f"last {last}" if person.last_login else "never yet"
        factor = "  second factor" if person.has_totp else ""
        click.echo(f"{person.name}  {person.role}  {person.status}{factor}  {seen}")


@people.command("invite")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="developer", show_default=True)
@_of
def invite(name: str, role: str, organisation: str, data_dir: Path | None) -> None:
    """A login for NAME, and the link to choose a password with."""
    made = _ask(data_dir, organisation, lambda found, caller: found.invite(caller, name, role))
    if made.token:
        click.echo(f"/login#invite={made.token}")
        click.echo("good once, within a week", err=True)
    else:
        click.echo(f"{made.person.name} is a service account: it has keys, and no password", err=True)


@people.command("reset-password")
@click.argument("name")
@_of
def reset_password(name: str, organisation: str, data_dir: Path | None) -> None:
    """A link to choose another password with. The old one, and all sessions, end now."""
    token = _reset(data_dir, organisation, name, "password")
    click.echo(f"/login#reset={token}")
    click.echo("good once, within a day", err=True)


@people.command("reset-totp")
@click.argument("name")
@_of
def reset_totp(name: str, organisation: str, data_dir: Path | None) -> None:
    """Take a second factor away, of somebody who has lost it."""
    _reset(data_dir, organisation, name, "totp")
    click.echo(f"{name} logs in without a second factor now")


@people.command("end-sessions")
@click.argument("name")
@_of
def end_sessions(name: str, organisation: str, data_dir: Path | None) -> None:
    """Log somebody out, everywhere."""
    _reset(data_dir, organisation, name, "sessions")
    click.echo(f"{name} is logged out everywhere")


def _reset(place: Path | None, organisation: str, name: str, what: str) -> str:
    async def ask(found: "PeopleService", caller: "Caller") -> str:
        person = await _named(found, caller, name)
        return (await found.reset_person(caller, person.id, what)).token

    return _ask(place, organisation, ask)


@people.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@_of
def role(name: str, role: str, organisation: str, data_dir: Path | None) -> None:
    """Give NAME another role. They are logged out."""
    _change(data_dir, organisation, name, role=role)
    click.echo(f"{name} is {role} now")


@people.command("disable")
@click.argument("name")
@_of
def disable(name: str, organisation: str, data_dir: Path | None) -> None:
    """Let NAME log in no more, and log them out now."""
    _change(data_dir, organisation, name, disabled=True)
    click.echo(f"{name} may not log in any more")


@people.command("enable")
@click.argument("name")
@_of
def enable(name: str, organisation: str, data_dir: Path | None) -> None:
    """Let NAME log in again."""
    _change(data_dir, organisation, name, disabled=False)
    click.echo(f"{name} may log in again")


@people.command("remove")
@click.argument("name")
@_of
def remove(name: str, organisation: str, data_dir: Path | None) -> None:
    """Take NAME's login away. The user stays, for their keys."""

    async def ask(found: "PeopleService", caller: "Caller") -> "Person":
        return await found.remove_person(caller, (await _named(found, caller, name)).id)

    _ask(data_dir, organisation, ask)
    click.echo(f"{name} has no login any more")


def _change(place: Path | None, organisation: str, name: str, *, role: str = "", disabled: bool | None = None) -> None:
    async def ask(found: "PeopleService", caller: "Caller") -> "Person":
        return await found.change_person(caller, (await _named(found, caller, name)).id, role, disabled)

    _ask(place, organisation, ask)
