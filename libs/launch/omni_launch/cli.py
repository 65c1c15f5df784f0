"""The ``omniroute`` command. Each verb imports what it needs, so that --help answers at once."""

import os
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from omni_launch.environment import Flags, config_file, merged
from omni_launch.problems import CannotStart
from omni_launch.targets import TARGETS

if TYPE_CHECKING:
    from omni_core.ports.auth import KeyInfo

Command = TypeVar("Command", bound=Callable[..., Any])

# Unreadable is for us to say: like everything else that is wrong on this machine, in one line with what to do next.
_PATH = click.Path(path_type=Path, readable=False)
_PORT = click.IntRange(0, 65_535)


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


def data_dir(command: Command) -> Command:
    return click.option(
        "--data-dir", type=_PATH, metavar="DIR", help="Where data is kept. [DATA_DIR, default ~/.omniroute]"
    )(command)


def config(command: Command) -> Command:
    return click.option(
        "--config",
        type=_PATH,
        metavar="FILE",
        help="Configuration. [OMNIROUTE_CONFIG, default ./omniroute.yaml, then omniroute.yaml in the data directory]",
    )(command)


def address(command: Command) -> Command:
    command = click.option("--port", type=_PORT, metavar="PORT", help="HTTP port; 0 takes a free one. [20128]")(command)
    return click.option(
        "--host",
        metavar="HOST",
        help="HTTP address to listen on. Whoever reaches it sees /healthz, /readyz and /metrics (names of providers, "
        "numbers of requests, tokens, USD) without a key. [127.0.0.1]",
    )(command)


def workers(command: Command) -> Command:
    command = click.option(
        "--admin-port",
        type=_PORT,
        metavar="PORT",
        help="With workers: health and numbers of all, without a key; "
        "on 127.0.0.1, whatever --host is, or else on OMNIROUTE_HTTP_HOST. [20156]",
    )(command)
    return click.option(
        "--workers",
        metavar="N",
        help="Processes that share the port; 0 or auto is one a core. [no workers: one process]",
    )(command)


class _Group(click.Group):
    """Whatever goes wrong is one clear line and what to do next; a traceback only at OMNIROUTE_LOG_LEVEL=DEBUG."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("OMNIROUTE_LOG_LEVEL", "").upper() == "DEBUG":
                raise
            click.echo(f"omniroute: {_said(error)}", err=True)
            raise click.exceptions.Exit(1) from error


def _said(error: Exception) -> str:
    from omni_core.telemetry import redact
    from omni_wire.errors import GatewayError

    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CannotStart | GatewayError):
        return redact(str(error))
    return redact(
        f"{type(error).__name__}: {str(error).strip() or 'no details given'}\n"
        "This should not happen. OMNIROUTE_LOG_LEVEL=DEBUG shows where; 'omniroute doctor' looks for the usual causes."
    )


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  omniroute up                          everything, with a simulated provider when none is configured
  curl http://127.0.0.1:20128/v1/models -H "Authorization: Bearer $(cat ~/.omniroute/local.key)"

\b
Then:
  omniroute up --workers auto           the same on all cores of this machine
  omniroute check-config                what is wrong with omniroute.yaml, line by line
  omniroute keys create laptop          a key for one of your programs
  omniroute doctor                      what is missing on this machine, and how to get it

\b
In any OpenAI SDK:  base_url="http://127.0.0.1:20128/v1", api_key=<the key>""",
)
@click.version_option(package_name="omniroute", prog_name="omniroute")
def cli() -> None:
    """One endpoint in front of every model provider, run by yourself."""


@cli.command(
    short_help="Start everything here.",
    epilog="""\b
Examples:
  omniroute up
  omniroute up --port 8080 --no-open
  omniroute up --host 0.0.0.0                      reachable from other machines: keep the key safe
  API_PORT=20128 DASHBOARD_PORT=20130 omniroute up  a port each for the API and the dashboard
  OMNIROUTE_REDIS_URL=redis://cache:6379/0 omniroute up
  omniroute up --workers auto                      as many gateways as cores, the dashboard at 20130""",
)
@address
@workers
@data_dir
@config
@click.option("--open/--no-open", "open_browser", default=True, help="Open the dashboard in a browser. [--open]")
def up(open_browser: bool, **given: Any) -> None:
    """Start everything here and keep running: in one process, or with --workers in several.

    Redis and NATS are started too (from PATH, else from the wheels that came along), unless OMNIROUTE_REDIS_URL and
    OMNIROUTE_NATS_URL name others. Without a provider in the configuration file a simulator answers as 'demo'. Ctrl-C
    lets running requests finish, then stops everything; a second Ctrl-C does not wait.

    With --workers the requests are served by processes of their own, which are started again when they die or hang;
    SIGHUP replaces them one after the other without losing a request.
    """
    from omni_launch.up import up as start

    raise click.exceptions.Exit(start(Flags(open_browser=open_browser, **given)))


@cli.command(
    short_help="Run one service, or several as a gateway; the others over gRPC.",
    epilog="""\b
Examples:
  omniroute run auth --config omniroute.yaml
  omniroute run gateway --workers auto          edge, router and translator in one process, one process a core
  OMNIROUTE_ROUTER_ADDR=dns:///router:20141 omniroute run edge


Targets:
  edge, router, translator, quota, auth, analytics, dashboard     each by itself
  gateway        edge + router + translator: the way of a request, in one process
  control        auth + quota + analytics + dashboard: what is beside that way
  all            everything, as 'omniroute up'

\b
Where things are:
  OMNIROUTE_REDIS_URL, OMNIROUTE_NATS_URL       the servers; passwords from OMNIROUTE_{REDIS,NATS}_PASSWORD_FILE
  OMNIROUTE_{ROUTER,TRANSLATOR,QUOTA,AUTH,ANALYTICS}_ADDR     host:port of the others' gRPC
  OMNIROUTE_SERVICE_TOKEN or _FILE              what every call carries; else service.token in the data directory
  OMNIROUTE_GRPC_HOST, OMNIROUTE_GRPC_PORT, OMNIROUTE_HTTP_HOST, OMNIROUTE_HTTP_PORT     where this one listens


Start, in any order: what is missing is waited for, and named in the log and at /readyz.
Stop: SIGTERM or Ctrl-C. /readyz says no, what runs is finished, events are handed over; a second one does not wait.
  OMNIROUTE_DRAIN_DELAY                         how long to go on as before first, for others to notice [0]
  OMNIROUTE_DRAIN_SECONDS                       how long running requests may then take to finish [120]
With workers, SIGHUP replaces them one after the other.""",
)
@click.argument("target", type=click.Choice(list(TARGETS)))
@address
@workers
@data_dir
@config
@click.option("--no-open", is_flag=True, help="For 'all': do not open a browser.")
def run(target: str, no_open: bool, **given: Any) -> None:
    """Run one service as a process of its own, the others over gRPC. 'all' is the same as 'up'.

    'edge' and 'gateway' may have workers: processes that share the port and are started again when they die or hang.
    """
    from omni_launch.up import run as start_one
    from omni_launch.up import up as start_all

    flags = Flags(open_browser=not no_open, **given)
    raise click.exceptions.Exit(start_all(flags) if target == "all" else start_one(target, flags))


@cli.command("check-config", short_help="What is wrong with the configuration file.")
@click.argument("file", type=_PATH, required=False)
@data_dir
@config
def check_config(file: Path | None, data_dir: Path | None, config: Path | None) -> None:
    """Say what is wrong with a configuration file: file, line and key. Exit code 1 when anything is.

    Without FILE it is the one that 'up' would take. Environment overrides (OMNIROUTE__SERVER__PORT=8080) count.
    """
    from omni_auth.adapters.config_file import check_file

    flags = Flags(data_dir=data_dir, config=file or config)
    env = merged(flags, os.environ)
    path = config_file(flags, env)
    if path is None:
        raise CannotStart("there is no configuration file", "Name one: omniroute check-config FILE")
    shown = file or config or path
    report = check_file(shown, env)
    for line in (*report.problems, *report.warnings):
        click.echo(line, err=True)
    if not report.ok:
        raise click.exceptions.Exit(1)
    click.echo(
        f"{shown} is good: {report.providers} providers with {report.accounts} accounts, "
        f"{report.combos} combos, {report.keys} keys"
    )


@cli.group(short_help="Create, list and revoke API keys.")
def keys() -> None:
    """Create, list and revoke API keys, whether or not omniroute is running.

    Keys declared in the configuration file are listed, and managed there.
    """


@keys.command("create", epilog="Example: omniroute keys create ci --model 'acme/*' --rpm 60 --budget-usd 25")
@click.argument("name")
@click.option("--role", type=click.Choice(["developer", "admin"]), default="developer", show_default=True)
@click.option("--model", "models", multiple=True, metavar="GLOB", help="What it may use; may be repeated. [*]")
@click.option("--rpm", type=click.IntRange(0), default=0, help="Requests per minute; 0 is no limit. [0]")
@click.option("--budget-usd", "budget", type=_Usd(), metavar="USD", help="A cap in USD, such as 2.50. [none]")
@click.option(
    "--budget-window", type=click.Choice(["day", "week", "month", "total"]), default="month", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@data_dir
@config
def create_key(
    name: str,
    role: str,
    models: tuple[str, ...],
    rpm: int,
    budget: int | None,
    budget_window: str,
    as_json: bool,
    data_dir: Path | None,
    config: Path | None,
) -> None:
    """Make a key and show its secret, this once."""
    from omni_core.ports.auth import NewKey

    new = NewKey(
        name=name,
        role=role,
        models=models or ("*",),
        requests_per_minute=rpm,
        budget_nano_usd=budget or 0,
        budget_window=budget_window,
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
    """Every key, without its secret."""
    with _key_store(data_dir, config) as store:
        found = store.list()
    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo("No keys yet. Make one: omniroute keys create NAME")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "id", "role", "models", "limits", "managed by"):
        table.add_column(column, overflow="fold")
    for key in found:
        table.add_row(key.name, key.id, key.role, " ".join(key.models), _limits(key), key.managed_by)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


@keys.command("revoke")
@click.argument("key")
@data_dir
@config
def revoke_key(key: str, data_dir: Path | None, config: Path | None) -> None:
    """Revoke KEY (its name or id). A running omniroute refuses it within a second."""
    with _key_store(data_dir, config) as store:
        revoked = store.revoke(key)
    click.echo(f"Key '{revoked.name}' ({revoked.id}) is revoked.")


@cli.command(
    short_help="Serve a scripted model provider.",
    epilog="""\b
Examples:
  omniroute simulate --port 9100
  omniroute simulate --script latency:200,tps:30        every answer slowly

\b
Then:
  curl http://127.0.0.1:9100/v1/chat/completions \\
    -d '{"model":"sim","messages":[{"role":"user","content":"Hello"}]}'
  curl http://127.0.0.1:9100/v1/chat/completions \\
    -d '{"model":"sim+status:503","messages":[{"role":"user","content":"Hello"}]}'  # answers 503""",
)
@click.option("--port", type=_PORT, default=9100, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--script", default="", help="Steps for every request, e.g. latency:50,fail-every:10,status:503.")
@click.option(
    "--model", "models", multiple=True, metavar="ID", help="Ids to list; any id is answered. May be repeated."
)
@click.option("--require-key", metavar="KEY", help="Answer 401 to any other key.")
def simulate(port: int, host: str, script: str, models: tuple[str, ...], require_key: str | None) -> None:
    """Serve a scripted model provider in four wire formats, for tests and demonstrations.

    Faults and speed are chosen by model name or header; 'pydoc omni_simulator' has the whole grammar.
    """
    from omni_simulator import Options, Simulator
    from omni_simulator import run as serve

    options = Options(script=script, require_key=require_key)
    if models:
        options = Options(script=script, require_key=require_key, models=models)

    def ready(simulator: Simulator) -> None:
        click.echo(f"simulator is up: {simulator.url}/v1")

    try:
        serve(host, port, options=options, ready=ready)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}", "Choose another --port") from error


@cli.command(short_help="What is missing on this machine, and how to get it.")
@address
@data_dir
@config
def doctor(host: str | None, port: int | None, data_dir: Path | None, config: Path | None) -> None:
    """Look for what 'up' needs on this machine; say how to get what is missing. Exit code 1 when something is."""
    from rich.console import Console
    from rich.text import Text

    from omni_launch import doctor as examination

    findings = examination.examine(Flags(host=host, port=port, data_dir=data_dir, config=config), os.environ)
    console = Console(highlight=False)
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "missing": ("✗", "red")}
    for finding in findings:
        mark, style = marks[finding.mark]
        line = Text(f"{mark} ", style=style) + Text(f"{finding.subject}: ", "bold") + Text(finding.detail, "default")
        console.print(line, soft_wrap=True)
        if finding.mark != "ok" and finding.fix:
            console.print(Text(f"    → {finding.fix}"), soft_wrap=True)
    raise click.exceptions.Exit(examination.exit_code(findings))


@cli.command(hidden=True)
@click.argument("url")
@click.option("--timeout", type=float, default=3.0)
def health(url: str, timeout: float) -> None:
    """Exit code 0 when URL answers 200: for container health checks, where there is no curl."""
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise click.UsageError("URL begins with http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - the scheme was looked at
            status = answer.status
    except (urllib.error.URLError, OSError) as error:
        raise CannotStart(f"{url} is not well: {error}") from error
    click.echo(f"{url} answers {status}")


def _key_store(data_dir: Path | None, config: Path | None) -> Any:
    from omni_auth.adapters.offline import open_keys

    from omni_launch.data_dir import prepare

    flags = Flags(data_dir=data_dir, config=config)
    env = merged(flags, os.environ)
    place = Path(env["DATA_DIR"])
    prepare(place)
    return open_keys(place, config_file(flags, env), env)


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


def main() -> None:
    cli(prog_name="omniroute")
