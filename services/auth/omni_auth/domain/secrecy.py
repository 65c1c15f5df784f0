"""From ``{env: …}``, ``{file: …}`` and ``{value: …}`` to the secrets themselves."""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping

from omni_catalogue.notify import key_of
from omni_wire.errors import InvalidRequest
from pydantic_core import PydanticCustomError

from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem
from omni_auth.domain.rules import sections
from omni_auth.domain.sections.base import SecretSource, secret_source


class SecretUnreadable(ValueError):
    """A secret file that cannot be read; the message says why, without its content."""


# The text of a secret file. Raises ``SecretUnreadable``.
ReadSecret = Callable[[str], str]

# Ours, and what the libraries for PostgreSQL and OpenTelemetry find passwords in.
_OWN = re.compile(r"OMNIROUTE_.*|PG(PASSWORD|PASSFILE|SERVICEFILE|SSLKEY)|OTEL_.*")
HINT = "which no provider gets: give the secret as {value: …}, or name another env or file"


def is_own_variable(name: str) -> bool:
    """Whether a variable of the environment is one of the gateway's settings, or holds a secret of its own."""
    return _OWN.fullmatch(name) is not None


def sources(tree: Tree) -> Iterator[tuple[Loc, SecretSource]]:
    """Every well-formed secret source of a file, in its order."""
    for loc, provider in sections(tree, (), "providers"):
        for inner, account in sections(provider, loc, "accounts"):
            yield from _source((*inner, "api_key"), account.get("api_key"))
    for loc, proxy in sections(tree, (), "proxies"):
        yield from _source((*loc, "credentials"), proxy.get("credentials"))
    for loc, key in sections(tree, (), "keys"):
        yield from _source((*loc, "secret"), key.get("secret"))
    notify = tree.get("notify") if isinstance(tree, dict) else None
    for loc, webhook in sections(notify, ("notify",), "webhooks"):
        yield from _source((*loc, "secret"), webhook.get("secret"))
    logins = tree.get("logins") if isinstance(tree, dict) else None
    for loc, provider in sections(logins, ("logins",), "oidc"):
        yield from _source((*loc, "client_secret"), provider.get("client_secret"))


def _source(loc: Loc, value: Tree) -> Iterator[tuple[Loc, SecretSource]]:
    try:
        yield loc, secret_source(value)
    except PydanticCustomError:
        return  # the schema tells it


def resolve(tree: Tree, env: Mapping[str, str], read_secret: ReadSecret) -> tuple[dict[Loc, str], list[Problem]]:
    """The secret at each place, and what could not be had."""
    secrets: dict[Loc, str] = {}
    problems: list[Problem] = []
    for loc, source in sources(tree):
        try:
            secrets[loc] = fitting(loc, fetch(source, env, read_secret))
        except SecretUnreadable as error:
            problems.append(Problem(loc, str(error)))
    first: dict[str, Loc] = {}
    for loc, secret in secrets.items():
        if loc[0] == "keys" and first.setdefault(secret, loc) != loc:
            problems.append(Problem(loc, f"is the same secret as that of keys[{first[secret][1]}]"))
    return secrets, problems


def fitting(loc: Loc, secret: str) -> str:
    """The secret that stands at a place. Raises ``SecretUnreadable`` for one that is none of its kind."""
    if loc[0] == "notify":
        try:
            key_of(secret)
        except InvalidRequest as error:
            raise SecretUnreadable(error.message) from None
    return secret


def secret_version(pepper: bytes, account: str, secret: str) -> str:
    """What tells a secret of an account from another: keyed, so that it gives a weak one away to nobody."""
    return hmac.digest(pepper, f"{account}\n{secret}".encode(), "sha256").hex()[:16]


def fetch(source: SecretSource, env: Mapping[str, str], read_secret: ReadSecret) -> str:
    """Raises ``SecretUnreadable``."""
    if source.kind == "env":
        told = f"the environment variable {source.where}"
        found = env.get(source.where)
        if found is None:
            raise SecretUnreadable(f"{told} is not set")
        secret = found.strip()
    elif source.kind == "file":
        told, secret = f"the file {source.where}", read_secret(source.where).strip()
    elif source.kind == "vault":
        raise SecretUnreadable("nothing is sealed for a file: name an env or a file")
    else:
        told, secret = "the value", source.where
    if not secret:
        raise SecretUnreadable(f"{told} is empty")
    if not secret.isascii() or not secret.isprintable():
        raise SecretUnreadable(f"{told} has characters that no HTTP header can carry")
    if secret != secret.strip():
        raise SecretUnreadable(f"{told} begins or ends with a blank, which is lost in an HTTP header")
    return secret
