"""``omniroute report``: what a month has cost, and whom."""

import csv
import io
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking

if TYPE_CHECKING:
    from omni_launch.management import Access

_OF = ("organisation", "team", "user", "key", "model", "provider", "account")
_NUMBERS = ("requests", "errors", "input_tokens", "output_tokens", "cost_usd")


@click.command(
    short_help="What a month has cost, by team, user, key or model.",
    epilog="""\b
Examples:
  omniroute report                                  this month, by organisation and team
  omniroute report --month 2026-11 --by user        a month, by user
  omniroute report --by team --by model --csv       for a spreadsheet
  omniroute report --by key --json                  the whole answer, with exact nano-USD""",
)
@click.option("--month", metavar="YYYY-MM", default="", help="A calendar month (UTC). [the present one]")
@click.option(
    "--by", type=click.Choice(_OF), multiple=True, default=("organisation", "team"), metavar="WHAT",
    help=f"One line for each; again for several. Of {', '.join(_OF)}. [organisation and team]",
)  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, for programs.")
@asking
def report(month: str, by: tuple[str, ...], as_csv: bool, as_json: bool, access: "Access") -> None:
    """Say what a calendar month has cost, dearest line first, and what the month before did.

    Costs are those that attempts were settled at; together the lines are the month's total to the nano-USD.
    """
    import msgspec

    from omni_launch.management import gateway

    with gateway(access) as management:
        found = management.spend(month, ",".join(dict.fromkeys(by)))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    elif as_csv:
        click.echo(as_table(found), nl=False)
    else:
        for line in lines(found):
            click.echo(line)


def as_table(found: dict[str, Any]) -> str:
    """As CSV, a line for each of the report's; no cell is a formula."""
    from omni_dashboard.usage.exporting import cell

    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow([*found["by"], *_NUMBERS])
    for line in found["lines"]:
        totals = line["totals"]
        rows.writerow([*(cell(line["values"][name]) for name in found["by"]), *(totals[name] for name in _NUMBERS)])
    return out.getvalue()


def lines(found: dict[str, Any]) -> list[str]:
    """For people: aligned, the sum at the end."""
    names = [" / ".join(line["values"][name] or "-" for name in found["by"]) or "all" for line in found["lines"]]
    costs = [line["totals"]["cost_usd"] for line in found["lines"]]
    width, across = max(map(len, [*names, "total"])), max(map(len, [*costs, found["total"]["cost_usd"]]))
    told = [
        f"{name:<{width}}  {cost:>{across}} USD  {line['share']:>6.1%}  {line['totals']['requests']:,} requests"
        for name, cost, line in zip(names, costs, found["lines"], strict=True)
    ]
    whole, before = found["total"], found["before"]
    return [
        f"{found['month']} (UTC)",
        *told,
        f"{'total':<{width}}  {whole['cost_usd']:>{across}} USD          {whole['requests']:,} requests",
        f"the month before: {before['cost_usd']} USD, {before['requests']:,} requests",
    ]
