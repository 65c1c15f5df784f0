"""A checked configuration and the stored keys, compiled: the snapshot everybody may see, and the tables nobody may.

Deterministic: the same input gives the same bytes, so an unchanged configuration is never published twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from omni_catalogue import notify
from omni_catalogue.keyshape import is_wellformed
from omni_catalogue.proxies import PREFIX
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import (
    Account,
    BreakerPolicy,
    Budget,
    Caching,
    Deadlines,
    Hedge,
    Idempotency,
    KeyPolicy,
    Model,
    Price,
    Provider,
    Queue,
    RateLimit,
    RetryBudget,
    Routing,
    Semantic,
    Server,
    Snapshot,
    Timeouts,
    encode,
)
from omni_wire.formats import WireFormat

from omni_auth.domain.apikeys import OlderSecret, StoredKey, file_key_id, presented_digest, stored_digest
from omni_auth.domain.compiled_bodies import compile_bodies
from omni_auth.domain.compiled_combos import (
    ComboCompiler,
    auto_combos,
    compile_hedge,
    compile_mid_stream,
    is_auto,
    other_names,
    strategy_fields,
)
from omni_auth.domain.compiled_egress import EgressCompiler
from omni_auth.domain.compiled_quotas import compile_quota
from omni_auth.domain.compiled_rules import compile_rules
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.secrecy import secret_version
from omni_auth.domain.sections.limits import KeySection
from omni_auth.domain.sections.notify import WebhookSection
from omni_auth.domain.sections.prices import PriceEntry
from omni_auth.domain.sections.providers import AccountSection, ModelSection, ProviderSection, RateLimitSection
from omni_auth.domain.sections.routing import CacheSection
from omni_auth.domain.sharing import Shared, Whose, compile_budget, compile_tariff, of_file
from omni_auth.domain.toggles import only_on

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
    """``login`` is the id of the login that the secret comes of, then ``secret`` is empty."""

    secret: str
    version: str
    login: str = ""

    def __repr__(self) -> str:
        return f"AccountSecret(version={self.version!r})"


class Compiled(msgspec.Struct, frozen=True):
    """``content`` is the snapshot without its number and date (both 0). ``accounts`` maps account ids to secrets, also
    of those that are off: requests under way may have planned with them. ``identities`` maps the stored digests of
    keys to their policies; ``aside`` are the names of the file's keys that the store has under the same id."""

    content: Snapshot
    accounts: dict[str, AccountSecret]
    identities: dict[bytes, KeyPolicy]
    aside: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Compiled({len(self.accounts)} accounts, {len(self.identities)} keys)"

    def stamped(self, revision: int, created: int) -> bytes:
        """The bytes to publish as ``revision``, made at ``created`` (epoch seconds)."""
        return encode(msgspec.structs.replace(self.content, revision=revision, created=created))


def compile_snapshot(
    configuration: Configuration,
    stored: Iterable[StoredKey],
    pepper: bytes,
    demo: DemoProvider | None = None,
    limits: Iterable[Shared] = (),
) -> Compiled:
    """``pepper`` keys the digests and the secret versions, so that neither gives a weak secret away. ``limits`` are the
    store's."""
    config = configuration.config
    accounts: dict[str, AccountSecret] = {}
    identities: dict[bytes, KeyPolicy] = {}
    providers = []
    for index, proxy in enumerate(config.proxies):
        needed = proxy.credentials.kind != "none"
        password = configuration.secrets["proxies", index, "credentials"] if needed else None
        _keep(accounts, PREFIX + proxy.name, password, pepper)
    egress = EgressCompiler(config, {proxy.name: accounts[PREFIX + proxy.name].version for proxy in config.proxies})
    for index, provider in enumerate(config.providers):
        for number, account in enumerate(provider.accounts):
            needed = account.api_key.kind != "none"
            secret = configuration.secrets["providers", index, "accounts", number, "api_key"] if needed else None
            _keep(accounts, f"{provider.id}/{account.name}", secret, pepper, account.login)
        compiled = _provider(provider, accounts, strategy_fields(provider.strategy, config), egress)
        providers.append(_priced(compiled, config.prices))
    if demo is not None and not providers:
        _keep(accounts, "demo/demo", demo.secret, pepper)
        providers.append(_demo(demo, accounts))
    webhooks = []
    for index, section in enumerate(config.notify.webhooks):
        webhook_id = notify.PREFIX + section.name
        _keep(accounts, webhook_id, configuration.secrets["notify", "webhooks", index, "secret"], pepper)
        webhooks.append(_webhook(section, accounts[webhook_id].version))
    stored = tuple(stored)
    checked = all(key.is_shaped for key in stored)
    ids = {key.id for key in stored}
    aside = tuple(key.name for key in config.keys if file_key_id(key.name) in ids)
    for index, key in enumerate(config.keys):
        if key.name in aside:  # as of all objects: what the store has stands for it
            continue
        secret = configuration.secrets["keys", index, "secret"]
        checked = checked and is_wellformed(secret)
        identities[stored_digest(pepper, presented_digest(secret))] = file_key_policy(key)
    for stored_key in stored:
        identities.setdefault(stored_key.digest, stored_key_policy(stored_key))
    policies = sorted(identities.values(), key=lambda policy: policy.id)
    if not config.server.require_api_key:
        policies.insert(0, KeyPolicy(id=ANONYMOUS, name=ANONYMOUS))
    shared = sorted([*of_file(config.limits), *limits], key=lambda one: one.limit.id)
    policies = _limited(policies, stored, shared)
    for stored_key in stored:
        for older in stored_key.older:
            identities.setdefault(older.digest, _older(stored_key, older))
    compiler = ComboCompiler(config, providers)
    named = compiler.combos()
    named += tuple(auto_combos(config, providers, (combo.name for combo in named)))
    on, combos, off = only_on(config, providers, named, configuration.unfit)
    content = Snapshot(
        revision=0,
        created=0,
        server=msgspec.convert(config.server.model_dump(), Server),
        providers=on,
        combos=combos,
        keys=tuple(policies),
        routing=Routing(
            retries=config.routing.retries,
            breaker=BreakerPolicy(**config.routing.breaker.model_dump()) if config.routing.breaker else None,
            caching=_caching(config.routing.cache) if config.routing.cache else None,
            default_max_output=config.routing.default_max_output,
            timeouts=Timeouts(**config.routing.timeouts.model_dump()),
            mid_stream=compile_mid_stream(config.routing.mid_stream),
            hedge=compile_hedge(config.routing.hedge) or Hedge(),
            idempotency=Idempotency(**config.routing.idempotency.model_dump()) if config.routing.idempotency else None,
            queue=Queue(**config.routing.queue.model_dump()) if config.routing.queue else None,
            retry_budget=RetryBudget(**config.routing.retry_budget.model_dump())
            if config.routing.retry_budget
            else None,
            learns_rates=config.routing.learn_rate_limits,
        ),
        rules=compile_rules(config.rules),
        checked_keys=checked,
        off=off,
        limits=tuple(one.limit for one in shared),
        wildcards=compiler.wildcards(),
        aka=other_names(config),
        auto=is_auto(config),
        proxies=tuple(egress.proxies.values()),
        echo_url=config.outbound.echo_url,
        egress=egress.of_all(),
        bodies=compile_bodies(config.bodies, policies),
        webhooks=tuple(webhooks),
    )
    return Compiled(content, accounts, identities, aside)


def _webhook(section: WebhookSection, version: str) -> notify.Webhook:
    return notify.Webhook(
        name=section.name,
        url=section.url,
        secret_version=version,
        organisation=section.organisation,
        percents=section.percents,
        allow_private=section.allow_private_address,
    )


def _caching(section: CacheSection) -> Caching:
    """Found by meaning an answer is, where nothing else is said, for as long as it is there."""
    exact, semantic = section.exact, section.semantic
    found = Semantic(**(semantic.model_dump() | {"ttl": semantic.ttl or exact.ttl})) if semantic is not None else None
    return Caching(**exact.model_dump(), semantic=found)


def _limited(policies: list[KeyPolicy], stored: Iterable[StoredKey], shared: Sequence[Shared]) -> list[KeyPolicy]:
    """The policies with the limits that apply to each."""
    if not shared:
        return policies
    whose = {key.id: Whose(key.id, key.organisation, key.team, key.user, key.tags) for key in stored}
    found = []
    for policy in policies:
        key = whose.get(policy.id) or Whose(policy.id, tags=policy.tags)
        mine = tuple(one.limit.id for one in shared if one.applies_to(key))
        found.append(msgspec.structs.replace(policy, limits=mine) if mine else policy)
    return found


def _priced(provider: Provider, prices: Iterable[PriceEntry]) -> Provider:
    """With the prices that are said apart from its models: one for this provider before one for any. A model that only
    the wildcard stands for is listed when it has a price of its own here."""
    anywhere = {entry.model: compile_tariff(entry) for entry in prices if entry.provider is None}
    here = {entry.model: compile_tariff(entry) for entry in prices if entry.provider == provider.id}
    models = [
        msgspec.structs.replace(model, **(here.get(model.id) or anywhere.get(model.id) or {}))
        for model in provider.models
    ]
    listed = {model.id: model for model in models}
    if wildcard := listed.get("*"):
        models += [
            msgspec.structs.replace(wildcard, id=model, **tariff)
            for model, tariff in here.items()
            if model not in listed
        ]
    return msgspec.structs.replace(provider, models=tuple(models))


def _keep(
    accounts: dict[str, AccountSecret], account_id: str, secret: str | None, pepper: bytes, login: str = ""
) -> None:
    """None is for an account that needs no secret, which its empty version tells, unless it is logged in to: then the
    version tells one login from another, and nothing of its tokens."""
    if login:
        accounts[account_id] = AccountSecret("", secret_version(pepper, account_id, f"login\n{login}"), login)
        return
    if secret is None:
        accounts[account_id] = AccountSecret("", "")
        return
    accounts[account_id] = AccountSecret(secret, secret_version(pepper, account_id, secret))


def _account(
    provider: ProviderSection, section: AccountSection, accounts: dict[str, AccountSecret], egress: EgressCompiler
) -> Account:
    account_id = f"{provider.id}/{section.name}"
    return Account(
        id=account_id,
        name=section.name,
        secret_version=accounts[account_id].version,
        project=section.project or section.profile_arn,
        identity=section.identity,
        client_version=section.client_version,
        machine_id=section.machine_id,
        weight=section.weight,
        rate_limit=_rate_limit(section.rate_limit),
        quota=compile_quota(provider.quota, section.quota),
        egress=egress.of(provider, section),
    )


def _rate_limit(section: RateLimitSection) -> RateLimit:
    return RateLimit(**section.model_dump(exclude_none=True))


def _provider(
    section: ProviderSection, accounts: dict[str, AccountSecret], strategy: dict[str, Any], egress: EgressCompiler
) -> Provider:
    return Provider(
        id=section.id,
        format=section.format,
        base_url=section.base_url,
        tier=section.tier,
        allow_private_address=section.allow_private_address,
        accounts=tuple(_account(section, account, accounts, egress) for account in section.accounts),
        models=tuple(_model(model) for model in section.models),
        streaming=section.streaming,
        rules=compile_rules(section.rules),
        timeouts=Deadlines(**section.timeouts.model_dump()),
        resumes=section.resumes,
        rate_limit=_rate_limit(section.rate_limit),
        hedge=compile_hedge(section.hedge),
        **strategy,
    )


def _demo(demo: DemoProvider, accounts: dict[str, AccountSecret]) -> Provider:
    wildcard = () if any(model.id == "*" for model in demo.models) else (Model(id="*", price=DEMO_PRICE),)
    return Provider(
        id="demo",
        format=demo.format,
        base_url=demo.base_url,
        tier="free",
        allow_private_address=True,
        accounts=(Account(id="demo/demo", name="demo", secret_version=accounts["demo/demo"].version),),
        models=demo.models + wildcard,
    )


def _model(section: ModelSection) -> Model:
    return Model(
        id=section.id,
        context=section.context or 0,
        max_output=section.max_output or 0,
        reasons=section.reasons,
        streaming=section.streaming or "",
        rate_limit=_rate_limit(section.rate_limit),
        **(compile_tariff(section.price) if section.price else {}),
    )


def file_key_policy(section: KeySection) -> KeyPolicy:
    """What a key of the file may do."""
    return KeyPolicy(
        id=file_key_id(section.name),
        name=section.name,
        role=section.role,
        models=section.models,
        requests_per_minute=section.limits.requests_per_minute or 0,
        budget=compile_budget(section.budget) if section.budget else None,
        rules=compile_rules(section.rules),
        scopes=Scopes(
            management=section.management,
            providers=section.providers,
            endpoints=section.endpoints,
            ips=section.ips,
            expires=section.expires or 0,
        ),
        tags=tuple(dict.fromkeys(section.tags)),
        no_bodies=section.no_bodies,
        when_away=section.when_away,
    )


def stored_key_policy(key: StoredKey) -> KeyPolicy:
    """What a key of the store may do."""
    budget = Budget(
        nano_usd=key.budget_nano_usd,
        window=key.budget_window,
        unpriced=key.unpriced,
        assumed_price=key.assumed_price,
        unaffordable=key.unaffordable,
    )
    return KeyPolicy(
        id=key.id,
        name=key.name,
        role=key.role,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        budget=budget if key.budget_nano_usd else None,
        rules=key.rules,
        scopes=key.scopes,
        tags=key.tags,
        organisation=key.organisation,
        no_bodies=key.no_bodies,
        when_away=key.when_away,
    )


def _older(key: StoredKey, older: OlderSecret) -> KeyPolicy:
    """What is told of the key to who presents an older secret: that it ends with it."""
    policy = stored_key_policy(key)
    ends = min(older.until, policy.scopes.expires or older.until)
    return msgspec.structs.replace(policy, scopes=msgspec.structs.replace(policy.scopes, expires=ends))
