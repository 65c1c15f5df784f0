"""``omniroute analytics``: what is kept of usage, by hand."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from omni_launch.config_cli import asking
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


@analytics.command()
@click.option("--to", "url", required=True, metavar="URL", help="postgresql://… or clickhouse://…, an empty database.")
@data_dir
def copy(url: str, data_dir: Path | None) -> None:
    """Copy all usage into a PostgreSQL or a ClickHouse: rows, what they add up to, and what is known of limits.

    The database must be there and empty; its password is in URL, or in the file that
    OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE names. In the end counts and sums of both are compared, and nothing
    counts as copied where they differ. A copy that is cut short goes on when this is called again.

    \b
    To move from the file to PostgreSQL:
      stop analytics             what routers settle meanwhile waits in NATS
      omniroute analytics copy --to postgresql://omniroute@db:5432/usage
      start it with OMNIROUTE_ANALYTICS_DATABASE_URL set to the same
    """
    from omni_analytics.adapters.copying import copy as copy_all
    from omni_analytics.adapters.location import URL, database_at, usage_database, usage_path

    place, env = prepared(data_dir)
    if not env.get(URL, "").strip() and not usage_path(place).is_file():
        raise CannotStart(f"no usage was recorded in {usage_path(place)}", "Name another place with --data-dir")
    source, target = usage_database(place, env), database_at(url, env)
    if source.shown == target.shown:
        raise CannotStart(f"usage is in {source.shown} already", "Name another database with --to")
    try:
        source.open()
        target.open()
        found = copy_all(source, target, lambda count: click.echo(f"{count} rows", err=True))
    except (*source.failures, *target.failures) as error:
        raise (target if isinstance(error, target.failures) else source).told(error) from error
    finally:
        source.close()
        target.close()
    before = f", of which {found.found} rows were there from a copy that was cut short" if found.found else ""
    click.echo(
        f"{found.attempts} attempts, {found.requests} requests and {found.cells} cells of sums are in {target.shown}"
        f"{before}: counts and sums are the same as in {source.shown}"
    )


@analytics.command(
    "export",
    short_help="Requests, attempts or usage as CSV, JSON lines or Parquet.",
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
@click.option(
    "--format", "kind_of_file", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True
)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Where to write. [stdout]")
@asking
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
    a formula begin with an apostrophe in CSV. Parquet needs pyarrow where the dashboard runs: pip install
    'omniroute[parquet]'."""
    from omni_launch.management import gateway

    given = {"kind": kind, "format": kind_of_file, "from": from_, "until": until}
    asked = [(name, value) for name, value in given.items() if value] + [("filter", value) for value in filters]
    with gateway(access) as management, output.open("wb") if output else nullcontext(sys.stdout.buffer) as out:
        management.usage_file(asked, out)
