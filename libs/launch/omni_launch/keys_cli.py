"""``omniroute keys``: the keys that no file declares. Each verb imports what it needs."""

import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from omni_catalogue.roles import KEY_ROLES
from omni_catalogue.scopes import ENDPOINTS, MANAGEMENT

from omni_launch.environment import Flags, config_file
from omni_launch.options import config, data_dir, prepared

if TYPE_CHECKING:
    from omni_core.ports.analytics import KeyUse
    from omni_core.ports.auth import KeyInfo


class _Usd(click.ParamType):  # type: ignore[type-arg] # generic in some releases of click only
    """An amount of money, as whole nano-USD; refused when that is nothing at all or more than a budget may be."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from omni_auth.domain.scalars import MAX_USD, NANO

        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("nan")
        # A huge exponent is compared, never written out.
        if not amount.is_finite():
            self.fail(f"'{value}' is not an amount in USD, such as 2.50.", param, ctx)
        nano = round(amount * NANO) if -1 < amount <= MAX_USD else 0
        if amount > MAX_USD or nano <= 0:
            self.fail(
                f"'{value}' is not from 0.000000001 to {MAX_USD} USD (leave the option out for no budget).", param, ctx
            )
        return nano


class _Expiry(click.ParamType):  # type: ignore[type-arg] # generic in some releases of click only
    """How long from now (30d, 12h, 90m) or until when (a date, or a time with its zone): epoch seconds."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from omni_auth.domain.scalars import moment, span
        from omni_core.clock import now_ms
        from pydantic_core import PydanticCustomError

        try:
            seconds = span(value)
            return now_ms() // 1000 + seconds if seconds else moment(value)
        except PydanticCustomError as error:
            self.fail(f"'{value}' {error.message()}, or how long from now: 30d, 12h, 90m.", param, ctx)


class _Span(click.ParamType):  # type: ignore[type-arg] # generic in some releases of click only
    """30d, 12h, 90m or 0, as seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from omni_auth.domain.scalars import span

        seconds = span(value)
        if not seconds and value != "0":
            self.fail(f"'{value}' is no time such as 24h, 90m or 0.", param, ctx)
        return seconds


@click.group(short_help="Create, list, rotate and revoke API keys.")
def keys() -> None:
    """Create, list, rotate and revoke API keys, whether or not omniroute is running.

    Keys declared in the configuration file are listed, and managed there.
    """


@keys.command(
    "create",
    epilog="""\b
Examples:
  omniroute keys create ci --model 'acme/*' --rpm 60 --budget-usd 25
  omniroute keys create bot --provider acme --endpoint chat --ip 10.0.0.0/8 --expires 30d""",
)
@click.argument("name")
@click.option("--role", type=click.Choice(KEY_ROLES), default="developer", show_default=True)
@click.option("--model", "models", multiple=True, metavar="GLOB", help="What it may use; may be repeated. [*]")
@click.option("--provider", "providers", multiple=True, metavar="GLOB", help="Whose models; may be repeated. [any]")
@click.option(
    "--endpoint", "endpoints", multiple=True, type=click.Choice(ENDPOINTS), help="For what; may be repeated. [all]"
)
@click.option("--ip", "ips", multiple=True, metavar="CIDR", help="From where; may be repeated. [anywhere]")
@click.option(
    "--manage", "management", multiple=True, type=click.Choice(MANAGEMENT), metavar="AREA[:read]",
    help="What of /api it may manage, of what its role may; may be repeated. [all of that]",
)  # fmt: skip
@click.option("--expires", type=_Expiry(), metavar="WHEN", help="30d, 12h or a date. [never]")
@click.option("--rpm", type=click.IntRange(0), default=0, help="Requests per minute; 0 is no limit. [0]")
@click.option("--budget-usd", "budget", type=_Usd(), metavar="USD", help="A cap in USD, such as 2.50. [none]")
@click.option(
    "--budget-window", type=click.Choice(["day", "week", "month", "total"]), default="month", show_default=True
)
@click.option("--team", default="", metavar="NAME", help="Whose limits apply to it as well. [no team's]")
@click.option("--user", default="", metavar="NAME", help="Whose limits apply to it as well. [no user's]")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="What all its requests carry; may be repeated. [none]"
)
@click.option("--no-bodies", is_flag=True, help="Never keep what it asks and is answered, whatever bodies: says.")
@click.option(
    "--rule", "rules", multiple=True, metavar="NAME=VALUE", help="As under rules: in the file; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@data_dir
@config
def create_key(
    name: str,
    role: str,
    models: tuple[str, ...],
    providers: tuple[str, ...],
    endpoints: tuple[str, ...],
    ips: tuple[str, ...],
    management: tuple[str, ...],
    expires: int | None,
    rpm: int,
    budget: int | None,
    budget_window: str,
    team: str,
    user: str,
    tags: tuple[str, ...],
    no_bodies: bool,
    rules: tuple[str, ...],
    as_json: bool,
    data_dir: Path | None,
    config: Path | None,
) -> None:
    """Make a key and show its secret, this once."""
    from omni_catalogue.scopes import Scopes
    from omni_core.ports.auth import NewKey

    new = NewKey(
        name=name,
        role=role,
        models=models or ("*",),
        requests_per_minute=rpm,
        budget_nano_usd=budget or 0,
        budget_window=budget_window,
        rules=_yaml(rules),
        team=team,
        user=user,
        tags=tags,
        no_bodies=no_bodies,
        scopes=Scopes(providers=providers, endpoints=endpoints, ips=ips, management=management, expires=expires or 0),
    )
    with _key_store(data_dir, config) as store:
        created = store.create(new)
    if as_json:
        _print_json({"id": created.key.id, "name": created.key.name, "secret": created.secret})
        return
    click.echo(created.secret)
    click.echo(f"Key '{created.key.name}' ({created.key.id}). Keep it: it is not shown again.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@data_dir
@config
def list_keys(as_json: bool, data_dir: Path | None, config: Path | None) -> None:
    """Every key, without its secret, and how the gateway on this data directory has recorded its use."""
    import msgspec
    from omni_analytics.adapters.asking import read_key_use
    from omni_analytics.adapters.location import usage_path

    with _key_store(data_dir, config) as store:
        found = store.list()
    use = read_key_use(usage_path(prepared(data_dir, config)[0]))
    if as_json:
        unused = {"requests": 0, "last_ms": 0}
        _print_json([msgspec.to_builtins(key) | msgspec.to_builtins(use.get(key.id, unused)) for key in found])
        return
    if not found:
        click.echo("No keys yet. Make one: omniroute keys create NAME")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "id", "role", "of", "models", "scopes", "limits", "rules", "used", "managed by"):
        table.add_column(column, overflow="fold")
    for key in found:
        models, rules = " ".join(key.models), key.rules or "none"
        table.add_row(
            key.name,
            key.id,
            key.role,
            _owners(key),
            models,
            _scopes(key),
            _limits(key),
            rules,
            _used(use.get(key.id)),
            key.managed_by,
        )
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


@keys.command("rotate", epilog="Example: omniroute keys rotate ci --overlap 24h")
@click.argument("key")
@click.option(
    "--overlap", type=_Span(), default="24h", show_default=True, metavar="SPAN",
    help="How long older secrets are good as well; 0 ends them now.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@data_dir
@config
def rotate_key(key: str, overlap: int, as_json: bool, data_dir: Path | None, config: Path | None) -> None:
    """Give KEY (its name or id) a new secret and show it, this once. Its limits and its usage stay."""
    with _key_store(data_dir, config) as store:
        rotated = store.rotate(key, overlap)
    if as_json:
        _print_json({"id": rotated.key.id, "name": rotated.key.name, "secret": rotated.secret})
        return
    click.echo(rotated.secret)
    until = _moment(rotated.key.older_until) if overlap else "now"
    click.echo(f"Key '{rotated.key.name}' ({rotated.key.id}): older secrets end {until}. Keep this one.", err=True)


@keys.command("revoke")
@click.argument("key")
@data_dir
@config
def revoke_key(key: str, data_dir: Path | None, config: Path | None) -> None:
    """Revoke KEY (its name or id). A running omniroute refuses it within a second."""
    with _key_store(data_dir, config) as store:
        revoked = store.revoke(key)
    click.echo(f"Key '{revoked.name}' ({revoked.id}) is revoked.")


def _key_store(data_dir: Path | None, config: Path | None) -> Any:
    from omni_auth.adapters.offline import open_keys

    place, env = prepared(data_dir, config)
    return open_keys(place, config_file(Flags(data_dir=data_dir, config=config), env), env)


def _yaml(rules: tuple[str, ...]) -> str:
    lines = []
    for rule in rules:
        name, given, value = rule.partition("=")
        if not given or not name.isidentifier():
            raise click.UsageError(f"--rule takes NAME=VALUE, such as sanitize=on, and not '{rule}'")
        lines.append(f"{name}: {value}")
    return "\n".join(lines)


def _used(use: "KeyUse | None") -> str:
    return f"{use.requests} times, last {_moment(use.last_ms // 1000)}" if use is not None else "not here"


def _moment(seconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}Z"


def _scopes(key: "KeyInfo") -> str:
    scopes = key.scopes
    parts = [
        f"{name} {' '.join(words)}"
        for name, words in (
            ("of", scopes.providers),
            ("for", scopes.endpoints),
            ("from", scopes.ips),
            ("managing", scopes.management),
        )
        if words
    ]
    if scopes.expires:
        parts.append(f"until {_moment(scopes.expires)}")
    return ", ".join(parts) or "all"


def _owners(key: "KeyInfo") -> str:
    owners = (("team", key.team), ("user", key.user))
    return ", ".join(f"{what} {name}" for what, name in owners if name) or "nobody"


def _limits(key: "KeyInfo") -> str:
    parts = []
    if key.requests_per_minute:
        parts.append(f"{key.requests_per_minute}/min")
    if key.budget_nano_usd:
        parts.append(f"{key.budget_nano_usd / 1_000_000_000:g} USD/{key.budget_window}")
    return ", ".join(parts) or "none"


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.encode(value).decode())
