"""``omniroute analytics``: what is kept of usage, by hand."""

from pathlib import Path

import click

from omni_launch.options import data_dir, prepared
from omni_launch.problems import CannotStart


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
