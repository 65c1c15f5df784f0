"""``omniroute test``: whether accounts and proxies can be used. 0 is that all can, 1 that one cannot, 2 that something
was wrong."""

from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.management import Access


@click.command(
    "test",
    short_help="Whether an account or a proxy can be used, and if not, why.",
    epilog="""\b
Examples:
  omniroute test claude                      every account of a provider
  omniroute test claude/first                one of them: its list of models
  omniroute test claude/first --model claude-sonnet-4-5      one token of a model
  omniroute test --proxy office              a proxy, and from which address its calls come""",
)
@click.argument("who", default="", metavar="[PROVIDER[/ACCOUNT]]")
@click.option("--model", metavar="ID", default="", help="Ask this model for one token.")
@click.option("--proxy", metavar="NAME", default="", help="Test this proxy.")
@click.option("--json", "as_json", is_flag=True, help="The whole answers, for programs.")
@asking
def probe(who: str, model: str, proxy: str, as_json: bool, access: "Access") -> None:
    """Make the running gateway call a provider as it does for an account: through the same proxy, with the same
    certificates, addresses and headers. Where the provider lists its models these are asked for, which costs nothing;
    otherwise, or with --model, one token, which is in the account's usage and on nobody's budget.
    """
    import msgspec

    from omni_launch.management import gateway

    if bool(who) is bool(proxy):
        raise click.UsageError("name an account or a provider, or a proxy with --proxy")
    with gateway(access) as management:
        if proxy:
            found = {proxy: management.test_proxy(proxy)}
        else:
            accounts = [who] if "/" in who else management.accounts_of(who)
            if not accounts:
                raise CannotStart(f"there is no account of a provider '{who}'", "GET /api/accounts lists them")
            found = {account: management.test_account(account, model) for account in accounts}
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for name, told in found.items():
            click.echo(_line(name, told))
    raise click.exceptions.Exit(0 if all(told.get("ok") for told in found.values()) else 1)


def _line(name: str, told: dict[str, Any]) -> str:
    """Such as ``ok   claude/first  210 ms  through office (provider)  from 203.0.113.7: …``."""
    way = f"through {told['proxy']} ({told['level']})" if told.get("level") else ""
    parts = [
        "ok  " if told.get("ok") else "FAIL",
        name,
        f"{told.get('latency_ms', 0)} ms",
        f"status {told['status']}" if told.get("status") else "",
        way,
        f"from {told['egress']}" if told.get("egress") else "",
    ]
    return f"{'  '.join(part for part in parts if part)}: {told.get('message', '')}"
