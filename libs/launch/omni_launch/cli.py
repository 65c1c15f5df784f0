"""The ``omniroute`` command. Each verb imports what it needs, so that --help answers at once."""

import os
from pathlib import Path
from typing import Any

import click

from omni_launch.analytics_cli import analytics
from omni_launch.audit_cli import audit
from omni_launch.backup_cli import backup
from omni_launch.bans_cli import bans
from omni_launch.bodies_cli import bodies
from omni_launch.certs_cli import certs
from omni_launch.config_cli import apply, diff, export, take_in
from omni_launch.connection_cli import probe
from omni_launch.environment import Flags, config_file, merged
from omni_launch.events_cli import events
from omni_launch.explain_cli import explain
from omni_launch.keys_cli import keys
from omni_launch.login_cli import login
from omni_launch.options import PATH, Command, config, data_dir
from omni_launch.people_cli import people
from omni_launch.problems import CannotStart, told
from omni_launch.quota_cli import quota
from omni_launch.report_cli import report
from omni_launch.reprice_cli import reprice
from omni_launch.signing_cli import signing_key
from omni_launch.targets import TARGETS
from omni_launch.vault_cli import vault

_PORT = click.IntRange(0, 65_535)


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
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # of a pipe whose reader has seen enough, as head, click ends without a word
        except Exception as error:
            if os.environ.get("OMNIROUTE_LOG_LEVEL", "").upper() == "DEBUG":
                raise
            click.echo(f"omniroute: {told(error)}", err=True)
            raise click.exceptions.Exit(1) from error


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
  omniroute apply gateway.yaml          the configuration of a running gateway from a file
  omniroute keys create laptop          a key for one of your programs
  omniroute explain best                which way a request would take now, and why
  omniroute login codex                 log in at a provider that gives no API key
  omniroute quota                       how much of providers' quotas is left, until when
  omniroute certs init                  certificates, for services that run on several machines
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
  OMNIROUTE_REDIS_URL, OMNIROUTE_NATS_URL       the servers; OMNIROUTE_{REDIS,NATS}_USER and _PASSWORD_FILE for each
  OMNIROUTE_{ROUTER,TRANSLATOR,QUOTA,AUTH,ANALYTICS}_ADDR     host:port of the others' gRPC
  OMNIROUTE_SERVICE_TOKEN or _FILE              proves every call; else service.token in the data directory
  OMNIROUTE_TLS_CA, _CERT, _KEY                 encrypts calls, by certificates on both sides: see 'omniroute certs'
  OMNIROUTE_CONFIG_SIGNING_KEY_FILE (auth), OMNIROUTE_CONFIG_PUBLIC_KEYS_FILE     see 'omniroute signing-key'
  OMNIROUTE_VAULT_KEYS_FILE (auth)              what credentials are sealed with: see 'omniroute vault'
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
@click.argument("file", type=PATH, required=False)
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
    """Serve a scripted model provider in six wire formats, for tests and demonstrations.

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


for verb in (apply, diff, export, take_in, explain, login, quota, report, bodies, probe):
    cli.add_command(verb)
cli.add_command(analytics)
cli.add_command(audit)
cli.add_command(reprice)
cli.add_command(vault)
cli.add_command(backup)
cli.add_command(bans)
cli.add_command(events)
cli.add_command(certs)
cli.add_command(keys)
cli.add_command(people)
cli.add_command(signing_key)


def main() -> None:
    cli(prog_name="omniroute")
