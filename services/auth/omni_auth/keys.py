"""What an API key is made from, and what is told of it."""

from omni_catalogue.snapshot import KeyPolicy
from omni_core.ports.auth import KeyInfo, NewKey
from omni_wire.errors import InvalidRequest

from omni_auth.domain import apikeys, key_rules
from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.compilation import ANONYMOUS
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.objects import Held
from omni_auth.domain.owners import owner_id


def check_new(new: NewKey, now: int) -> None:
    """Raises ``InvalidRequest`` naming the field that is wrong. ``now`` in epoch seconds."""
    if new.name in (apikeys.LOCAL_NAME, ANONYMOUS):
        raise InvalidRequest(f"the name '{new.name}' is taken by the gateway itself", param="name")
    apikeys.check_new(
        name=new.name,
        role=new.role,
        models=new.models,
        requests_per_minute=new.requests_per_minute,
        budget_nano_usd=new.budget_nano_usd,
        budget_window=new.budget_window,
        scopes=new.scopes,
        now=now,
        tags=new.tags,
    )
    key_rules.read(new.rules)


def make_key(
    new: NewKey, entropy: bytes, pepper: bytes, now: int, held: Held, organisation: str = DEFAULT_ORGANISATION
) -> tuple[StoredKey, str]:
    """A key to store and its secret, shown once. Raises ``InvalidRequest`` for a team or user not held."""
    key_id, secret = apikeys.mint(entropy)
    key = StoredKey(
        id=key_id,
        name=new.name,
        role=new.role,
        models=tuple(new.models),
        requests_per_minute=new.requests_per_minute,
        budget_nano_usd=new.budget_nano_usd,
        budget_window=new.budget_window,
        created=now,
        hint=secret[: apikeys.HINT],
        digest=apikeys.stored_digest(pepper, apikeys.presented_digest(secret)),
        organisation=organisation,
        rules=key_rules.read(new.rules),
        scopes=new.scopes,
        team=owner_id(held, "team", new.team),
        user=owner_id(held, "user", new.user),
        tags=tuple(dict.fromkeys(new.tags)),
        no_bodies=new.no_bodies,
    )
    return key, secret


def changed_meanwhile(key: str) -> InvalidRequest:
    told = f"the key '{key}' was rotated or revoked meanwhile: look again"
    return InvalidRequest(told, status=409, code="conflict", param="key")


def stored_info(key: StoredKey, held: Held) -> KeyInfo:
    """``held`` knows what teams and users are called."""
    return KeyInfo(
        id=key.id,
        name=key.name,
        role=key.role,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        managed_by="api",
        created=key.created,
        hint=key.hint,
        rules=key_rules.written(key.rules),
        scopes=key.scopes,
        older_until=max([older.until for older in key.older], default=0),
        team=held.owner_name("team", key.team),
        user=held.owner_name("user", key.user),
        tags=key.tags,
        no_bodies=key.no_bodies,
    )


def policy_info(policy: KeyPolicy) -> KeyInfo:
    """A key of the configuration file."""
    return KeyInfo(
        id=policy.id,
        name=policy.name,
        role=policy.role,
        models=policy.models,
        requests_per_minute=policy.requests_per_minute,
        budget_nano_usd=policy.budget.nano_usd if policy.budget else 0,
        budget_window=policy.budget.window if policy.budget else "month",
        managed_by="file",
        created=0,
        rules=key_rules.written(policy.rules),
        scopes=policy.scopes,
        tags=policy.tags,
        no_bodies=policy.no_bodies,
    )
