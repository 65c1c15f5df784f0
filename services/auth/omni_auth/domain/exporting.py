"""The configuration in force as the text of one file, without a secret in it."""

import yaml

from omni_auth.domain import merging, objects
from omni_auth.domain.document import Tree
from omni_auth.domain.objects import LIMITS, Held, mappings
from omni_auth.domain.planning import KEEP

_NULLS = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _Plain(yaml.SafeDumper):
    """Scalars as they stand in a file: the reader takes them for text, so 1.25 and on need no quotes."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if tag in _NULLS]
    for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
}


def text(live: Tree, held: Held) -> str:
    """``live`` is the configuration file's tree. Keys are left out, the store's as well as the file's: of their secrets
    there are digests only, and a file without them changes none. With the keys of the live file go their limits. What
    is sealed, or stands in the file itself, is exported as ``{vault: keep}``. How people log in stays where it is."""
    merged = merging.merge(live, held).tree
    tree = {key: value for key, value in merged.items() if key not in ("keys", LIMITS, "logins")}
    limits: list[Tree] = [one for one in mappings(merged, LIMITS) if one.get("key") is None]
    limits += objects.limit_entries(held)
    if limits:
        tree[LIMITS] = limits
    proxies = tree.get("proxies")
    if isinstance(proxies, list):
        tree["proxies"] = [_kept(item, "credentials") for item in proxies]
    providers = tree.get("providers")
    if isinstance(providers, list):
        tree["providers"] = [_provider(item) for item in providers]
    notify = tree.get("notify")
    if isinstance(notify, dict) and isinstance(listed := notify.get("webhooks"), list):
        tree["notify"] = {**notify, "webhooks": [_kept(item, "secret") for item in listed]}
    return yaml.dump(tree, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def _provider(item: Tree) -> Tree:
    if not isinstance(item, dict) or not isinstance(accounts := item.get("accounts"), list):
        return item
    return {**item, "accounts": [_kept(account, "api_key") for account in accounts]}


def _kept(item: Tree, field: str) -> Tree:
    secret = item.get(field) if isinstance(item, dict) else None
    if isinstance(item, dict) and isinstance(secret, dict) and ("vault" in secret or "value" in secret):
        return {**item, field: {"vault": KEEP}}
    return item
