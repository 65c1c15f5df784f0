"""``omniroute audit``: what was done to keys and configuration, and that nobody has changed what is written of it; and
that the books of usage are right."""

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking
from omni_launch.options import data_dir, prepared

if TYPE_CHECKING:
    from omni_auth.adapters.store.audit import AuditLog

    from omni_launch.management import Access, Remote

# Seconds between two looks.
_AGAIN = 0.5


@click.group(short_help="Who did what, that the log of it is whole, and that the books are right.")
def audit() -> None:
    """Who did what to keys and configuration, that nobody has changed the log of it, and that what was spent is what
    was recorded."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: an object a line, with what changed.")
@data_dir
def list_entries(limit: int, as_json: bool, data_dir: Path | None) -> None:
    """What was done, newest first."""
    with _log(data_dir) as log:
        entries = log.newest(limit)
    for entry in entries:
        if as_json:
            import msgspec

            told = msgspec.structs.asdict(entry) | {"previous": entry.previous.hex(), "hash": entry.hash.hex()}
            told |= {"before": msgspec.Raw(entry.before.encode()), "after": msgspec.Raw(entry.after.encode())}
            click.echo(msgspec.json.encode(told).decode())
        else:
            at = datetime.fromtimestamp(entry.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            click.echo(f"{entry.seq:>6}  {at}  {entry.actor}  {entry.action}  {entry.target}")


@audit.command("verify")
@click.option("--head", default="", metavar="SEQ:HASH", help="What this command said before: it must still be there.")
@data_dir
def verify(head: str, data_dir: Path | None) -> None:
    """Look for changes to the log itself, and name the first entry that is not as it was. Exit code 1 when one is.

    Keep what it says at the end somewhere else and give it back with --head: only so is it seen when the newest entries
    were cut off, or all were written anew.
    """
    with _log(data_dir) as log:
        found = log.verify(head)
    if found.bad is not None:
        click.echo(f"entry {found.bad}: {found.why}; the {found.entries} before it are good", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{found.entries} entries are as they were written; the last is {found.head or 'none'}")


@audit.command("usage")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, for programs.")
@click.option(
    "--wait", type=click.FloatRange(0, 3600), default=30.0, show_default=True, metavar="SECONDS",
    help="How long to ask again while events are under way, or a difference is left.",
)  # fmt: skip
@click.option("--provider", default="", help="Whose report it is that --reported names: a provider's id.")
@click.option(
    "--reported", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="What the provider says was used, as CSV or JSON: held against what is recorded.",
)  # fmt: skip
@click.option(
    "--model-is", "same", multiple=True, metavar="REPORTED=OURS",
    help="That the provider reports a model under another id; may be repeated.",
)  # fmt: skip
@asking
def usage(
    as_json: bool, wait: float, provider: str, reported: Path | None, same: tuple[str, ...], access: "Access"
) -> None:
    """Prove that what the ledger has as spent is what the recorded attempts were settled at, for each budget of keys
    and of limits that they share, in its present window. Exit code 1 where a difference has no cause that is known.

    With --provider and --reported: hold a provider's report against what is recorded, by day (of UTC) and model. The
    file has a line for each, under the names day (date, start_time), model (model_id, snapshot_id), input_tokens
    (prompt_tokens), output_tokens (completion_tokens), cost_usd (cost, amount); what it does not say is not compared.
    Answers of the usage and cost endpoints of OpenAI and Anthropic are taken as they are. Exit code 1 where a figure
    differs by more than what is in doubt: estimates, streams that broke off, what had no price.
    """
    import msgspec

    from omni_launch.management import gateway
    from omni_launch.proof_lines import lines

    if bool(provider) != bool(reported):
        raise click.UsageError("--provider and --reported go together")
    with gateway(access) as management:
        if reported is not None:
            raise click.exceptions.Exit(_compare(management, provider, reported, same, as_json))
        deadline = time.monotonic() + wait
        found = management.audit_usage()
        while _open(found) and time.monotonic() < deadline:
            time.sleep(_AGAIN)
            found = management.audit_usage()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for line in lines(found):
            click.echo(line)
    raise click.exceptions.Exit(0 if found["ok"] else 1)


def _compare(management: "Remote", provider: str, file: Path, same: tuple[str, ...], as_json: bool) -> int:
    """The exit code."""
    import msgspec

    from omni_launch import reported

    if wrong := next((pair for pair in same if "=" not in pair), ""):
        raise click.UsageError(f"--model-is {wrong}: say REPORTED=OURS")
    ours = dict(pair.split("=", 1) for pair in same)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file} is not UTF-8") from None
    said = [
        msgspec.structs.replace(one, model=ours.get(one.model, one.model)) for one in reported.read(text, str(file))
    ]
    days = sorted(datetime.fromisoformat(one.day).replace(tzinfo=UTC) for one in said)
    begin, end = (int(day.timestamp()) * 1000 for day in (days[0], days[-1] + timedelta(days=1)))
    statement = management.statement(provider, begin, end)["lines"]
    found = reported.compare(reported.together(said), statement)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for line in reported.lines(found):
            click.echo(line)
    return int(any(not one.explained for one in found))


def _open(found: dict[str, Any]) -> bool:
    """Whether another look may say more: what is under way comes, and two clocks may have been read a moment apart."""
    return not found["ok"] or any(budget["difference_nano_usd"] for budget in found["budgets"])


def _log(data_dir: Path | None) -> "AbstractContextManager[AuditLog]":
    from omni_auth.adapters.offline import open_audit

    return open_audit(*prepared(data_dir))
