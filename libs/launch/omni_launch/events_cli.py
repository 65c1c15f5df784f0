"""``omniroute events``: usage messages that could not be counted."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking

if TYPE_CHECKING:
    from omni_launch.management import Access, Remote

_PAGE = 50


@click.group(short_help="Usage messages that could not be counted.")
def events() -> None:
    """Usage messages that could not be counted, and were put aside.

    Analytics puts a message aside when it cannot read it after five deliveries, mostly as a newer router wrote it. What
    is in it is missing in the accounts until it is counted. See what there is, bring analytics to the routers' version,
    and count it:

    \b
      omniroute events dead              what there is, why, and whether it would be counted now
      omniroute events redrive --all     count what can be counted now; what was counted is not counted twice
      omniroute events discard 17        give number 17 up
    """


@events.command()
@click.option("--show", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The oldest so many.")
@click.option("--json", "as_json", is_flag=True, help="For programs: an object a line.")
@asking
def dead(show: int, as_json: bool, access: "Access") -> None:
    """List messages that were put aside, oldest first: number, when, how large, why, and what this version would do."""
    import msgspec

    from omni_launch.management import gateway

    with gateway(access) as management:
        letters, total = [], 0
        for page in _pages(management, min(show, _PAGE)):
            letters += page["items"]
            total = page["total"]
            if len(letters) >= show:
                break
    for letter in letters[:show]:
        if as_json:
            click.echo(msgspec.json.encode(letter).decode())
            continue
        at = (
            datetime.fromtimestamp(letter["at_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            if letter["at_ms"]
            else "?"
        )
        now = f"stays: {letter['fault']}" if letter["fault"] else "would be counted now"
        why = letter["reason"] or "no reason was kept"
        click.echo(f"{letter['id']:>6}  {at}  {letter['bytes']} bytes, {letter['events']} events  {why}; {now}")
    if not as_json:
        click.echo(f"{total} messages could not be counted" if total else "Every usage message was counted")


@events.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@asking
def redrive(ids: Sequence[str], everything: bool, access: "Access") -> None:
    """Count messages that were put aside, now. Each is counted once, however often this is done, and is then gone; one
    that this version cannot read stays, and is named with the reason. Exit code 1 where one has stayed.
    """
    counted, stayed = 0, dict[str, str]()
    from omni_launch.management import gateway

    with gateway(access) as management:
        for some in _chosen(management, ids, everything):
            found = management.redrive(some)
            counted += len(found["counted"])
            stayed |= found["stayed"]
            _missing(some, [*found["counted"], *found["stayed"]])
    click.echo(f"{counted} messages are counted now")
    for id_, why in stayed.items():
        click.echo(f"{id_:>6}  stays: {why}", err=True)
    if stayed:
        raise click.exceptions.Exit(1)


@events.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking
def discard(ids: Sequence[str], everything: bool, yes: bool, access: "Access") -> None:
    """Remove messages that were put aside, for good: what is in them stays missing in the accounts."""
    _choice(ids, everything)
    if not yes:
        click.confirm("What is in them will never be counted. Go on?", abort=True)
    gone = 0
    from omni_launch.management import gateway

    with gateway(access) as management:
        for some in _chosen(management, ids, everything):
            found = management.discard(some)
            gone += len(found)
            _missing(some, found)
    click.echo(f"{gone} messages are gone")


def _chosen(management: "Remote", ids: Sequence[str], everything: bool) -> Iterator[Sequence[str]]:
    """A page at a time. What is done to one page changes nothing about those behind it."""
    _choice(ids, everything)
    if ids:
        yield from (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE))
        return
    for page in _pages(management, _PAGE):
        if page["items"]:
            yield [letter["id"] for letter in page["items"]]


def _choice(ids: Sequence[str], everything: bool) -> None:
    if everything == bool(ids):
        raise click.UsageError("name messages by their numbers, or say --all")


def _pages(management: "Remote", size: int) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = management.dead_letters(after, size)
        yield page
        after = page["next"]


def _missing(asked: Sequence[str], found: Sequence[str]) -> None:
    for id_ in asked:
        if id_ not in found:
            click.echo(f"{id_:>6}  is not there", err=True)
