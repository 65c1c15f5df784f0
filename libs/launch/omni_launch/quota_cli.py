"""``omniroute quota``: how much of their providers' quotas the accounts have left. 0 is that every account has some, 1
that one is used up, 2 that something was wrong."""

from typing import TYPE_CHECKING

import click

from omni_launch.config_cli import asking
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.management import Access


@click.command(
    short_help="How much of providers' quotas is left, until when.",
    epilog="""\b
Examples:
  omniroute quota                                   all accounts whose quota is looked after
  omniroute quota claude/first codex/team           these
  omniroute quota claude/first --refresh            ask its provider first, whenever that would be due
  omniroute quota --json                            the same for programs
  omniroute quota --url https://gw.example.com --key-file admin.key

\b
What is looked after, in omniroute.yaml:
  accounts: [{name: first, api_key: {env: TOKEN}, quota: {ask: claude-code}}]
  accounts: [{name: first, api_key: {env: KEY}, quota: [{window: day, of: requests, most: 1000, at: "10:00"}]}]""",
)
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")
@click.option("--refresh", is_flag=True, help="Ask the providers of the accounts that are named first.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, for programs.")
@asking
def quota(accounts: tuple[str, ...], refresh: bool, as_json: bool, access: "Access") -> None:
    """Say how much of their quotas at their providers the accounts have left, by window: what is used, when it begins
    anew, and when it would be used up if it went on like this.

    What an account has used is counted by the gateway itself; what its provider says, in the headers of answers or when
    it is asked, corrects that. ACCOUNT is provider/name. Exit code 1 when one of them is used up.
    """
    import msgspec

    from omni_launch.management import gateway
    from omni_launch.quota_lines import lines

    if refresh and not accounts:
        raise click.UsageError("--refresh is for accounts that are named: omniroute quota PROVIDER/NAME --refresh")
    with gateway(access) as management:
        for account in accounts if refresh else ():
            management.refresh_quota(account)
        found = management.quota()
    known = {account["account"]: account for account in found}
    for name in accounts:
        if name not in known:
            raise CannotStart(f"no account '{name}' has a quota that is looked after", "Give it one: quota: on")
    shown = [known[name] for name in accounts] or found
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    else:
        for line in lines(shown):
            click.echo(line)
    raise click.exceptions.Exit(1 if any(account["state"] == "used_up" for account in shown) else 0)
