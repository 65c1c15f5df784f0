"""``omniroute reprice``: what the past costs by the prices that are known today."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking
from omni_launch.proof_lines import usd

if TYPE_CHECKING:
    from omni_launch.management import Access

DAY = timedelta(days=1)
_WHERE = """
    It asks the gateway that runs on the data directory; another one with --url and a key.

    A price that was wrong is put right in the configuration first: as a price, or from a day on under `changes` of it.
    Then

        omniroute reprice --from 2026-11-01

    shows what attempts of November cost otherwise now, and with --apply that is written: a day at a time, all of it or
    nothing, with the audit log saying so. What budgets were charged stays as it was, and `omniroute audit usage` goes
    by that. Attempts whose router died (charged at their reservation), those without a price that is known today, and
    those whose rows retention has forgotten are left as they are."""


class Day(click.ParamType):  # type: ignore[type-arg] # generic in some releases of click only
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2026-11-01", param, ctx)


@click.command(short_help="What the past costs by the prices that are known today; correct it.")
@click.option("--from", "first", type=Day(), required=True, help="The first day (of UTC).")
@click.option("--to", "last", type=Day(), help="The last day; today where it is left out.")
@click.option("--apply", is_flag=True, help="Write what is shown.")
@click.option("--json", "as_json", is_flag=True, help="The sums, for programs.")
@asking
def reprice(first: date, last: date | None, apply: bool, as_json: bool, access: "Access") -> None:
    """Work out again what recorded attempts cost, each by the price that was in force when it began, and show by key
    and model where that is not what is recorded. Exit code 1 where there is a difference that is not written.
    """
    import msgspec

    from omni_launch.management import gateway

    last = last or datetime.now(UTC).date()
    if last < first:
        raise click.UsageError("--to is before --from")
    with gateway(access) as management:
        found = summed(management.reprice(*span, apply=apply) for span in days(first, last))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for line in lines(found, applied=apply):
            click.echo(line)
    raise click.exceptions.Exit(1 if found["groups"] and not apply else 0)


def days(first: date, last: date) -> Iterator[tuple[int, int]]:
    """Each day's beginning and end in epoch milliseconds."""
    day = first
    while day <= last:
        begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
        yield begin, begin + int(DAY.total_seconds()) * 1000
        day += DAY


def summed(found: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Of what ``POST /api/usage/reprice`` answered for each day."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    counts = dict.fromkeys(("attempts", "unknown", "aborted", "assumed"), 0)
    for each in found:
        for name in counts:
            counts[name] += each[name]
        for group in each["groups"]:
            of = group["key_id"], group["provider"], group["model"]
            known = groups.setdefault(of, dict(zip(("key_id", "provider", "model"), of, strict=True)))
            for name in ("attempts", "old_nano_usd", "new_nano_usd"):
                known[name] = known.get(name, 0) + group[name]
    return {"groups": [groups[of] for of in sorted(groups)], **counts}


def lines(found: dict[str, Any], *, applied: bool) -> Iterator[str]:
    for group in found["groups"]:
        old, new = group["old_nano_usd"], group["new_nano_usd"]
        yield (
            f"{group['key_id']}  {group['provider']}/{group['model']}: {group['attempts']} attempts, "
            f"{usd(old)} -> {usd(new)}, {_signed(new - old)}"
        )
    changed = sum(group["attempts"] for group in found["groups"])
    more = sum(group["new_nano_usd"] - group["old_nano_usd"] for group in found["groups"])
    if not changed:
        yield f"{found['attempts']} attempts cost what is recorded"
    elif applied:
        yield f"{changed} of {found['attempts']} attempts were corrected, {_signed(more)} in all"
    else:
        yield f"{changed} of {found['attempts']} attempts cost otherwise, {_signed(more)} in all; --apply writes that"
    left = {
        "without a price that is known today": found["unknown"],
        "charged at their reservation, as their router died": found["aborted"],
        "counted at a price that a budget assumes": found["assumed"],
    }
    if told := [f"{count} {why}" for why, count in left.items() if count]:
        yield f"Left as they are: {'; '.join(told)}"


def _signed(nano: int) -> str:
    return f"+{usd(nano)}" if nano >= 0 else usd(nano)
