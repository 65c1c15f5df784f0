"""A checked configuration and the stored keys, compiled: the snapshot everybody may see, and the tables nobody may.

Deterministic: the same input gives the same bytes, so an unchanged configuration is never published twice.
"""

import hmac
from collections.abc import Iterable

import msgspec
from omni_catalogue.snapshot import (
    Account,
    BreakerPolicy,
    Budget,
    Combo,
    KeyPolicy,
    Model,
    Price,
    Provider,
    Routing,
    Server,
    Snapshot,
    Timeouts,
    encode,
)
from omni_wire.formats import WireFormat

from omni_auth.domain.apikeys import StoredKey, file_key_id, presented_digest, stored_digest
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.schema import BudgetSection, KeySection, ModelSection, PriceSection, ProviderSection

ANONYMOUS = "anonymous"

# Not free, so that budgets and costs can be tried on it: 1 and 4 USD per million tokens.
DEMO_PRICE = Price(input=1_000_000_000, output=4_000_000_000, cached_input=100_000_000, cache_write=1_000_000_000)


class DemoProvider(msgspec.Struct, frozen=True, kw_only=True):
    """The provider ``demo`` of a file that configures none: a scripted model on this machine."""

    base_url: str
    format: WireFormat = WireFormat.OPENAI_CHAT
    models: tuple[Model, ...] = ()
    secret: str = "demo"  # noqa: S105 - the scripted model takes any key

    def __repr__(self) -> str:
        return f"DemoProvider(base_url={self.base_url!r})"


class AccountSecret(msgspec.Struct, frozen=True):
    secret: str
    version: str

    def __repr__(self) -> str:
        return f"AccountSecret(version={self.version!r})"


class Compiled(msgspec.Struct, frozen=True):
    """``content`` is the snapshot without its number and date (both 0). ``accounts`` maps account ids to secrets,
    ``identities`` the stored digests of keys to their policies."""

    content: Snapshot
    accounts: dict[str, AccountSecret]
    identities: dict[bytes, KeyPolicy]

    def __repr__(self) -> str:
        return f"Compiled({len(self.accounts)} accounts, {len(self.identities)} keys)"

    def stamped(self, revision: int, created: int) -> bytes:
        """The bytes to publish as ``revision``, made at ``created`` (epoch seconds)."""
        return encode(msgspec.structs.replace(self.content, revision=revision, created=created))


def compile_snapshot(
    configuration: Configuration, stored: Iterable[StoredKey], pepper: bytes, demo: DemoProvider | None = None
) -> Compiled:
    """``pepper`` keys the digests and the secret versions, so that neither gives a weak secret away."""
    config = configuration.config
    accounts: dict[str, AccountSecret] = {}
    identities: dict[bytes, KeyPolicy] = {}
    providers = []
    for index, provider in enumerate(config.providers):
        for number, account in enumerate(provider.accounts):
            needed = account.api_key.kind != "none"
            secret = configuration.secrets["providers", index, "accounts", number, "api_key"] if needed else None
            _keep(accounts, f"{provider.id}/{account.name}", secret, pepper)
        providers.append(_provider(provider, accounts))
    if demo is not None and not providers:
        _keep(accounts, "demo/demo", demo.secret, pepper)
        providers.append(_demo(demo, accounts))
    for index, key in enumerate(config.keys):
        secret = configuration.secrets["keys", index, "secret"]
        identities[stored_digest(pepper, presented_digest(secret))] = file_key_policy(key)
    for stored_key in stored:
        identities.setdefault(stored_key.digest, _stored_key(stored_key))
    policies = sorted(identities.values(), key=lambda policy: policy.id)
    if not config.server.require_api_key:
        policies.insert(0, KeyPolicy(id=ANONYMOUS, name=ANONYMOUS))
    content = Snapshot(
        revision=0,
        created=0,
        server=Server(**config.server.model_dump()),
        providers=tuple(providers),
        combos=tuple(Combo(**combo.model_dump()) for combo in config.combos),
        keys=tuple(policies),
        routing=Routing(
            retries=config.routing.retries,
            breaker=BreakerPolicy(**config.routing.breaker.model_dump()) if config.routing.breaker else None,
            cache=config.routing.cache,
            default_max_output=config.routing.default_max_output,
            timeouts=Timeouts(**config.routing.timeouts.model_dump()),
        ),
    )
    return Compiled(content, accounts, identities)


def _keep(accounts: dict[str, AccountSecret], account_id: str, secret: str | None, pepper: bytes) -> None:
    """None is for an account that needs no secret, which its empty version tells."""
    if secret is None:
        accounts[account_id] = AccountSecret("", "")
        return
    version = hmac.digest(pepper, f"{account_id}\n{secret}".encode(), "sha256").hex()[:16]
    accounts[account_id] = AccountSecret(secret, version)


def _account(provider: str, name: str, accounts: dict[str, AccountSecret]) -> Account:
    account_id = f"{provider}/{name}"
    return Account(id=account_id, name=name, secret_version=accounts[account_id].version)


def _provider(section: ProviderSection, accounts: dict[str, AccountSecret]) -> Provider:
    return Provider(
        id=section.id,
        format=section.format,
        base_url=section.base_url,
        tier=section.tier,
        allow_private_address=section.allow_private_address,
        accounts=tuple(_account(section.id, account.name, accounts) for account in section.accounts),
        models=tuple(_model(model) for model in section.models),
    )


def _demo(demo: DemoProvider, accounts: dict[str, AccountSecret]) -> Provider:
    wildcard = () if any(model.id == "*" for model in demo.models) else (Model(id="*", price=DEMO_PRICE),)
    return Provider(
        id="demo",
        format=demo.format,
        base_url=demo.base_url,
        tier="free",
        allow_private_address=True,
        accounts=(_account("demo", "demo", accounts),),
        models=demo.models + wildcard,
    )


def _model(section: ModelSection) -> Model:
    price = _price(section.price) if section.price else None
    return Model(id=section.id, price=price, context=section.context or 0, max_output=section.max_output or 0)


def _price(section: PriceSection) -> Price:
    return Price(
        input=section.input,
        output=section.output,
        cached_input=section.input if section.cached_input is None else section.cached_input,
        cache_write=section.input if section.cache_write is None else section.cache_write,
    )


def file_key_policy(section: KeySection) -> KeyPolicy:
    """What a key of the file may do."""
    return KeyPolicy(
        id=file_key_id(section.name),
        name=section.name,
        role=section.role,
        models=section.models,
        requests_per_minute=section.limits.requests_per_minute or 0,
        budget=_budget(section.budget) if section.budget else None,
    )


def _budget(section: BudgetSection) -> Budget:
    if isinstance(section.unpriced, PriceSection):
        assumed = _price(section.unpriced)
        return Budget(nano_usd=section.usd, window=section.window, unpriced="assume", assumed_price=assumed)
    return Budget(nano_usd=section.usd, window=section.window, unpriced=section.unpriced)


def _stored_key(key: StoredKey) -> KeyPolicy:
    return KeyPolicy(
        id=key.id,
        name=key.name,
        role=key.role,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        budget=Budget(nano_usd=key.budget_nano_usd, window=key.budget_window) if key.budget_nano_usd else None,
    )
