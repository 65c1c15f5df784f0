"""``omniroute analytics``: what is kept of usage, by hand."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from omni_launch.config_cli import reaching
from omni_launch.options import PATH, data_dir, prepared
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.management import Access


@click.group(short_help="What is kept of usage.")
def analytics() -> None:
    """What is kept of usage: rows of attempts and requests, and what they add up to."""


@analytics.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 where a rollup is not what its rows say.")
@data_dir
def rebuild(check: bool, data_dir: Path | None) -> None:
    """Make the rollups by minute, hour and day anew from the recorded rows.

    They should be right: this says so, or puts them right. Analytics may run meanwhile; what it has to record waits. Of
    days whose rows retention has forgotten the rollups stay as they are.
    """
    from omni_analytics.adapters.location import URL, usage_database, usage_path
    from omni_analytics.adapters.rebuild import rebuild as rebuild_all

    place, env = prepared(data_dir)
    if not env.get(URL, "").strip() and not usage_path(place).is_file():
        raise CannotStart(f"no usage was recorded in {usage_path(place)}", "Name another place with --data-dir")
    database = usage_database(place, env)
    try:
        database.open()
        with database.writing():
            found = rebuild_all(database, check=check)
    except database.failures as error:
        raise database.told(error) from error
    finally:
        database.close()
    where = f"in {database.shown}"
    if not found.wrong:
        click.echo(f"{found.cells} cells of {found.days} days {where} are what the rows say")
        return
    done = "are not" if check else "were not, and now are"
    click.echo(f"{found.wrong} figures of {found.days} days {where} {done} what the rows say")
    if check:
        raise click.exceptions.Exit(1)


_WHERE = """
    It asks the gateway that runs on the data directory; another one with --url and a key."""


@analytics.command(
    "export",
    short_help="Requests, attempts or usage as CSV or JSON lines.",
    epilog="""\b
Examples:
  omniroute analytics export requests --from 2026-11-01 -o november.csv
  omniroute analytics export attempts --filter provider:acme --filter outcome:failed --format jsonl
  omniroute analytics export usage --from 2026-11-01 --until 2026-12-01     by the hour, also of rows long forgotten""",
)
@click.argument("kind", type=click.Choice(["requests", "attempts", "usage"]))
@click.option("--from", "from_", metavar="TIME", default="", help="ISO 8601 or epoch ms, inclusive.")
@click.option("--until", metavar="TIME", default="", help="The same, exclusive.")
@click.option("--filter", "filters", metavar="DIMENSION:VALUE", multiple=True, help="What passes; again for more.")
@click.option("--format", "kind_of_file", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Where to write. [stdout]")
@reaching(_WHERE)
def export_usage(
    kind: str,
    from_: str,
    until: str,
    filters: tuple[str, ...],
    kind_of_file: str,
    output: Path | None,
    access: "Access",
) -> None:
    """Write out what is recorded, in the order in which it began, a row a line. Texts that a spreadsheet would take for
    a formula begin with an apostrophe in CSV."""
    from omni_launch.management import Remote, reached

    given = {"kind": kind, "format": kind_of_file, "from": from_, "until": until}
    asked = [(name, value) for name, value in given.items() if value] + [("filter", value) for value in filters]
    with reached(access) as management:
        if not isinstance(management, Remote):
            raise CannotStart(
                "no gateway runs on this data directory", "Start one: omniroute up; or name one with --url"
            )
        with output.open("wb") if output is not None else nullcontext(sys.stdout.buffer) as out:
            management.usage_file(asked, out)
