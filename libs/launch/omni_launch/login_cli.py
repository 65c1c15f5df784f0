"""``omniroute login``: log an account in at its provider, once. 0 is that somebody is logged in, 2 that not."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.management import Access, Remote


@click.command(
    short_help="Log in at a provider that gives no API key.",
    epilog="""\b
Examples:
  omniroute login                              who is logged in, and where one can be
  omniroute login codex --accept-risk          in the browser of this machine
  omniroute login codex --account work         under a name of its own
  omniroute login claude --manual              paste the address (or code#state) that the browser ends at
  omniroute login copilot --accept-risk        by a code that is typed at the provider
  omniroute login cursor --import token.json   with the tokens of another program ("-" is standard input)
  omniroute login kiro-idc --parameter start_url=https://my.awsapps.com/start --parameter region=eu-west-1
  omniroute login refresh codex/work           renew its tokens now
  omniroute login forget codex/work

\b
An account uses it in the place of an API key, in omniroute.yaml:
  accounts: [{name: work, login: codex/work, accept_terms: codex}]""",
)
@click.argument("words", nargs=-1, metavar="[PROVIDER | list | refresh LOGIN | forget LOGIN]")
@click.option("--account", default="", metavar="NAME", help="What it shall be called.")
@click.option("--manual", is_flag=True, help="No listener here: paste the address that the browser ends at.")
@click.option("--device", is_flag=True, help="By a code that is typed at the provider.")
@click.option("--import", "file", type=click.Path(path_type=Path, allow_dash=True), help="Tokens of another program.")
@click.option("--accept-risk", is_flag=True, help="Take the risk that the refusal without this names.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="What some logins have to know.")
@asking
def login(
    words: tuple[str, ...],
    account: str,
    manual: bool,
    device: bool,
    file: Path | None,
    accept_risk: bool,
    parameters: tuple[str, ...],
    access: "Access",
) -> None:
    """Log in at PROVIDER for an account of the gateway. Its tokens are kept in the gateway's vault and renewed by it;
    nothing of them is shown.

    The same person again is the same login with new tokens. With a listener, which is for a browser on this machine,
    the page comes back by itself; with --manual its address is pasted, which works from anywhere.
    """
    from omni_launch.login_lines import begun, lines, shown
    from omni_launch.management import gateway

    with gateway(access) as management:
        if not words or words == ("list",):
            for line in lines(management.logins()):
                click.echo(line)
            return
        if len(words) == 2 and words[0] in ("refresh", "forget"):
            _change(management, *words)
            return
        if len(words) != 1:
            raise click.UsageError("one PROVIDER, or list, refresh LOGIN, forget LOGIN")
        kind = _kind(management, words[0])
        asked = {
            "login": kind["id"],
            "account": account,
            "accept_terms": kind["id"] if accept_risk else "",
            "parameters": dict(_pair(each) for each in parameters),
        }
        if file is not None:
            ended = management.import_login({**asked, "tokens": _tokens(file)})
        elif device or kind["flows"][0] == "device":
            started = management.begin_login({**asked, "flow": "device"})
            click.echo(begun(started))
            ended = _polled(management, started)
        else:
            ended = _by_code(management, kind, asked, manual)
    for line in shown(ended):
        click.echo(line)


def _change(management: "Remote", verb: str, name: str) -> None:
    if verb == "forget":
        management.forget_login(name)
        click.echo(f"{name} is forgotten: accounts that use it are not served until somebody logs in again")
        return
    management.refresh_login(name)
    click.echo(f"{name} has new tokens")


def _kind(management: "Remote", name: str) -> dict[str, Any]:
    """By its id or another of its names. Raises ``CannotStart``."""
    from omni_catalogue.logins import NAMES

    kinds = {kind["id"]: kind for kind in management.logins()["kinds"]}
    found: dict[str, Any] | None = kinds.get(NAMES.get(name, name))
    if found is None:
        raise CannotStart(f"there is no login '{name}'", f"There are {', '.join(sorted(kinds))}")
    return found


def _by_code(management: "Remote", kind: dict[str, Any], asked: dict[str, Any], manual: bool) -> dict[str, Any]:
    from omni_launch.callback_listener import listening
    from omni_launch.login_lines import begun

    if manual or not kind["listens"]:
        started = management.begin_login({**asked, "flow": "code"})
        click.echo(begun(started))
        return management.finish_login(click.prompt("the address, or code#state"))
    with listening(kind["port"]) as listener:
        started = management.begin_login({**asked, "flow": "code", "port": listener.port})
        click.echo(begun(started))
        said = listener.wait(started["ends"] / 1000 - time.time())
        if not said:
            raise CannotStart(
                "nobody has logged in in five minutes", "Begin anew, or with --manual where the browser is elsewhere"
            )
        return management.finish_login(said)


def _polled(management: "Remote", started: dict[str, Any]) -> dict[str, Any]:
    wait = float(started["interval"])
    while True:
        time.sleep(max(wait, 0.05))
        found = management.poll_login(started["id"])
        if found["login"] is not None:
            ended: dict[str, Any] = found["login"]
            return ended
        wait = float(found["wait"])


def _pair(said: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"'{said}' is not NAME=VALUE", param_hint="--parameter")
    return name, value


def _tokens(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(
            f"{file} cannot be read: {error}", "Name a file with tokens, or - for standard input"
        ) from None
