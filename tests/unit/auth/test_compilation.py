"""From a checked file to a snapshot without secrets, the same every time."""

import msgspec
import pytest
from omni_auth.domain.apikeys import StoredKey, mint, presented_digest, stored_digest
from omni_auth.domain.compilation import DEMO_PRICE, DemoProvider, compile_snapshot
from omni_auth.domain.configuration import empty, load
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import (
    Above,
    BreakerPolicy,
    Budget,
    Caching,
    Hedge,
    Idempotency,
    KeyPolicy,
    MidStream,
    Model,
    Off,
    Price,
    Queue,
    RateLimit,
    RetryBudget,
    Semantic,
    decode,
)

from tests.unit.auth.test_configuration import ENV, ISSUE_FILE, read_secret

PEPPER = b"p" * 32
NO_AUTO = ENV | {"OMNIROUTE__ROUTING__AUTO": "off"}


def compiled(text=ISSUE_FILE, env=ENV, stored=(), pepper=PEPPER, demo=None):
    return compile_snapshot(load(text, "omniroute.yaml", env, read_secret), stored, pepper, demo)


def stored_key(**changes):
    fields = {"id": "api-1", "name": "s", "role": "admin", "models": ("a/*",), "requests_per_minute": 3,
              "budget_nano_usd": 5, "budget_window": "day", "created": 9, "hint": "or-1", "digest": b"d"}  # fmt: skip
    return StoredKey(**fields | changes)


def test_the_documented_file_becomes_the_snapshot_it_describes():
    snapshot = decode(compiled().stamped(7, 1_700_000_000))
    assert (snapshot.revision, snapshot.created, snapshot.server.port) == (7, 1_700_000_000, 20128)
    acme, claude = snapshot.providers
    assert [account.id for account in acme.accounts] == ["acme/first"]
    assert acme.model("gpt-x") == Model(
        id="gpt-x",
        price=Price(input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000),
        context=272_000,
        max_output=128_000,
    )
    assert acme.model("anything").price is None
    wildcard = claude.model("claude-x").price
    assert (wildcard.input, wildcard.cached_input, wildcard.cache_write) == (3_000_000_000,) * 3
    assert snapshot.combos[0].targets == ("acme/gpt-x", "claude/claude-x")
    assert snapshot.keys == (
        KeyPolicy(id="key-ci", name="ci", requests_per_minute=600, budget=Budget(nano_usd=25_000_000_000)),
    )
    assert (snapshot.routing.breaker, snapshot.routing.caching, snapshot.routing.retries) == (None, None, 0)


def test_keys_are_checked_only_where_the_file_has_none_of_another_shape():
    minted = mint(b"e" * 36)[1]
    line = "keys: [{{name: ci, secret: {{value: {}}}}}]"
    assert decode(compiled("{}", {}, [stored_key()]).stamped(1, 0)).checked_keys
    assert decode(compiled(line.format(minted), {}).stamped(1, 0)).checked_keys
    assert not decode(compiled(line.format("or-file-key-0123456789"), {}).stamped(1, 0)).checked_keys


SCOPED = """
server: {trusted_proxies: [10.0.0.0/8, "::1"]}
keys:
  - name: ci
    secret: {value: or-file-key-0123456789}
    providers: [acme, "eu-*"]
    endpoints: [chat, models]
    ips: [192.0.2.0/24, 198.51.100.7]
    expires: 2030-01-01T01:00:00+01:00
"""


def test_a_keys_scopes_and_the_trusted_proxies_are_as_the_file_says():
    snapshot = decode(compiled(SCOPED, {}).stamped(1, 0))
    assert snapshot.server.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert snapshot.keys[0].scopes == Scopes(
        providers=("acme", "eu-*"), endpoints=("chat", "models"), ips=("192.0.2.0/24", "198.51.100.7/32"),
        expires=1_893_456_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("providers: []", "at least one"), ("providers: ['a b']", "provider's id"), ("endpoints: [chats]", "chat"),
        ("ips: [10.0.0.1/8]", "bits of a host"), ("ips: [home]", "network"), ("expires: soon", "2030-12-31"),
        ("expires: 2030-12-31T18:00:00", "zone"),
    ],
)  # fmt: skip
def test_scopes_that_mean_nothing_are_told_with_what_would(line, said):
    text = f"keys: [{{name: ci, secret: {{value: or-file-key-0123456789}}, {line}}}]"
    with pytest.raises(ConfigErrors) as caught:
        load(text, "omniroute.yaml", {}, read_secret)
    assert said in str(caught.value)
    assert "line 1" in str(caught.value) or ":1" in str(caught.value)


def test_the_same_input_gives_the_same_bytes_and_no_secret_is_in_them():
    found = compiled()
    assert found.stamped(1, 2) == compiled().stamped(1, 2)
    for secret in [*ENV.values(), *(account.secret for account in found.accounts.values())]:
        assert len(secret) < 4 or secret.encode() not in found.stamped(1, 2)
        assert len(secret) < 4 or secret not in repr(found)
    assert "acme-secret" not in repr(found.accounts)


def test_secrets_are_found_by_account_and_keys_by_their_stored_digest():
    found = compiled()
    assert found.accounts["acme/first"].secret == ENV["ACME_KEY"]
    digest = stored_digest(PEPPER, presented_digest(ENV["OMNIROUTE_KEY"]))
    assert found.identities[digest].id == "key-ci"


def test_a_secrets_version_changes_with_it_and_cannot_be_guessed_without_the_pepper():
    def version(env=ENV, pepper=PEPPER):
        return compiled(env=env, pepper=pepper).content.providers[0].accounts[0].secret_version

    assert version() == version()
    assert version() != version(ENV | {"ACME_KEY": "another-secret-0123"})
    assert version() != version(pepper=b"q" * 32)


LOCAL = """
providers:
  - {id: local, format: openai.chat, base_url: "http://127.0.0.1:11434/v1", allow_private_address: true,
     accounts: [{name: any, api_key: none}]}
"""


def test_an_account_that_needs_no_credential_says_so_in_the_snapshot():
    found = compiled(LOCAL)
    assert found.content.providers[0].accounts[0].secret_version == ""
    assert found.accounts["local/any"].secret == ""


def test_an_account_that_is_logged_in_to_has_a_version_of_its_login_and_no_secret_here():
    text = """
providers:
  - id: a
    format: openai.responses
    base_url: https://a.example/v1
    accounts: [{name: one, login: cx/work, accept_terms: codex}, {name: two, login: codex/home, accept_terms: codex}]
"""
    found = compiled(text)
    one, two = found.accounts["a/one"], found.accounts["a/two"]
    assert (one.secret, one.login, two.login) == ("", "codex/work", "codex/home")
    versions = {account.id: account.secret_version for account in found.content.providers[0].accounts}
    assert versions == {"a/one": one.version, "a/two": two.version}
    assert one.version
    assert one.version != two.version
    assert b"login" not in found.stamped(1, 1)


def test_an_accounts_project_and_identity_are_in_the_snapshot_and_else_there_is_none():
    file = """
providers:
  - {id: cloud, format: cloudcode.generate, base_url: "https://cloudcode-pa.googleapis.com", accounts: [
      {name: a, api_key: none, project: my-project-1, identity: antigravity}, {name: b, api_key: none}]}
"""
    one, other = compiled(file).content.providers[0].accounts
    assert (one.project, one.identity) == ("my-project-1", "antigravity")
    assert (other.project, other.identity) == ("", "")


def test_a_kiro_profile_is_what_its_account_is_booked_to_and_a_cursor_client_is_the_accounts_own():
    arn = "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABC"
    file = f"""
providers:
  - {{id: kiro, format: kiro.conversation, base_url: "https://q.example.com", accounts: [
      {{name: a, api_key: none, profile_arn: "{arn}"}}]}}
  - {{id: cursor, format: cursor.chat, base_url: "https://api2.cursor.sh", accounts: [
      {{name: a, api_key: none, identity: cursor, client_version: 3.1.4, machine_id: 0123abcd/4567cdef}}]}}
"""
    kiro, cursor = (provider.accounts[0] for provider in compiled(file).content.providers)
    assert kiro.project == arn
    assert (cursor.identity, cursor.client_version, cursor.machine_id) == ("cursor", "3.1.4", "0123abcd/4567cdef")


def test_without_required_keys_there_is_an_anonymous_one():
    text = "server: {require_api_key: false}"
    assert compiled(text).content.keys == (KeyPolicy(id="anonymous", name="anonymous"),)
    assert compiled("").content.keys == ()


def test_stored_keys_are_policies_too():
    found = compiled("", stored=[stored_key(), stored_key(id="api-2", digest=b"e", budget_nano_usd=0)])
    first, second = found.content.keys
    assert first == KeyPolicy(
        id="api-1",
        name="s",
        role="admin",
        models=("a/*",),
        requests_per_minute=3,
        budget=Budget(nano_usd=5, window="day"),
    )
    assert second.budget is None
    assert found.identities[b"d"] == first


def test_the_demo_provider_is_there_only_when_none_is_configured():
    demo = DemoProvider(base_url="http://127.0.0.1:9/v1")
    (provider,) = compiled("", demo=demo).content.providers
    assert (provider.id, provider.tier, provider.allow_private_address) == ("demo", "free", True)
    assert provider.model("any").price == DEMO_PRICE
    assert compile_snapshot(empty(), (), PEPPER, demo).accounts["demo/demo"].secret == "demo"
    assert [item.id for item in compiled(demo=demo).content.providers] == ["acme", "claude"]
    own = Model(id="*", price=None)
    chosen = msgspec.structs.replace(demo, models=(own,))
    assert compiled("", demo=chosen).content.providers[0].models == (own,)


def test_assumed_prices_and_tuned_breakers_arrive():
    text = """
keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 2, unpriced: {input: 1, output: 5}}},
       {name: b, secret: {env: OMNIROUTE_KEY}, budget: {usd: 2, unpriced: serve}}]
routing: {breaker: {failures: 2}, timeouts: {idle: 1.5}}
"""
    content = compiled(text).content
    budget = content.keys[0].budget
    assert (budget.unpriced, budget.assumed_price.output, budget.assumed_price.cached_input) == (
        "assume", 5_000_000_000, 1_000_000_000,
    )  # fmt: skip
    assert content.keys[1].budget.unpriced == "serve"
    assert content.routing.breaker == BreakerPolicy(failures=2)
    assert content.routing.timeouts.idle == 1.5
    assert content.routing.idempotency == Idempotency()
    assert content.routing.caching == Caching()


def test_what_is_found_by_meaning_lives_as_long_as_what_is_found():
    text = "routing: {cache: {exact: {ttl: 10m}, semantic: {embeddings: local, threshold: 0.9%s}}}"
    for said, ttl in (("", 600.0), (", ttl: 1m", 60.0)):
        found = compiled(text % said).content.routing.caching
        assert found == Caching(
            requests="deterministic", ttl=600.0, semantic=Semantic(embeddings="local", threshold=0.9, ttl=ttl)
        )


def test_what_is_done_about_streams_that_break_arrives():
    text = """
providers:
  - {id: acme, format: openai.chat, base_url: "https://a.example.com/v1", accounts: [{name: a, api_key: none}],
     resumes: prefill, models: [{id: m}]}
  - {id: beta, format: openai.chat, base_url: "https://b.example.com/v1", accounts: [{name: a, api_key: none}]}
combos:
  - {name: own, targets: [acme/m, beta/m], mid_stream: {hold_seconds: 0.5}}
  - {name: none, targets: [acme/m, beta/m]}
routing: {mid_stream: {hold_tokens: 20, resume: on}, breaker: {limited_for: 2, told_longest: 600}}
"""
    content = compiled(text).content
    assert content.routing.mid_stream == MidStream(hold_tokens=20, resume=True)
    assert {combo.name: combo.mid_stream for combo in content.combos if combo.name in ("own", "none")} == {
        "own": MidStream(hold_seconds=0.5),
        "none": None,
    }
    assert [provider.resumes for provider in content.providers] == ["prefill", "prompt"]
    assert content.routing.breaker == BreakerPolicy(limited_for=2, told_longest=600)


def test_a_price_may_depend_on_the_size_of_a_request_and_on_what_is_thought():
    text = """
providers:
  - id: acme
    format: gemini.generate
    base_url: https://acme.example
    accounts: [{name: a, api_key: none}]
    models:
      - id: m
        price: {input: 1.25, output: 10, cached_input: 0.125, reasoning: 12,
                above: [{tokens: 200000, input: 2.5, output: 15}]}
"""
    (model,) = compiled(text).content.providers[0].models
    above = Price(input=2_500_000_000, output=15_000_000_000, cached_input=2_500_000_000, cache_write=2_500_000_000)
    assert model.price == Price(
        input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000,
        reasoning=12_000_000_000, above=(Above(200_000, above),),
    )  # fmt: skip


def test_rate_limits_are_of_a_provider_its_accounts_and_its_models():
    text = """
providers:
  - id: acme
    format: openai.chat
    base_url: https://acme.example/v1
    rate_limit: {concurrent: 40}
    accounts:
      - {name: a, api_key: none, rate_limit: {requests_per_minute: 500, min_gap: 0.05}}
      - {name: b, api_key: none}
    models: [{id: m, rate_limit: {tokens_per_minute: 200000}}]
routing: {queue: {longest: 30, patience: off}, retry_budget: {percent: 5}, learn_rate_limits: off}
"""
    content = compiled(text).content
    (provider,) = content.providers
    assert provider.rate_limit == RateLimit(concurrent=40)
    assert [account.rate_limit for account in provider.accounts] == [
        RateLimit(requests_per_minute=500, min_gap=0.05),
        RateLimit(),
    ]
    assert provider.models[0].rate_limit == RateLimit(tokens_per_minute=200_000)
    routing = content.routing
    assert (routing.queue, routing.retry_budget) == (Queue(longest=30, patience=0.0), RetryBudget(percent=5))
    assert routing.learns_rates is False
    switched = compiled("routing: {queue: off, retry_budget: off}").content.routing
    assert (switched.queue, switched.retry_budget) == (None, None)


def test_when_a_second_is_asked_arrives_as_each_place_says_it():
    text = """
providers:
  - {id: acme, format: openai.chat, base_url: "https://a.example.com/v1", accounts: [{name: a, api_key: none}],
     hedge: off, models: [{id: m}], timeouts: {first_byte: 300}}
  - {id: beta, format: openai.chat, base_url: "https://b.example.com/v1", accounts: [{name: a, api_key: none}]}
combos:
  - {name: own, targets: [acme/m, beta/m], hedge: {after: 250}}
  - {name: none, targets: [acme/m, beta/m]}
routing: {hedge: on}
"""
    content = compiled(text).content
    assert content.routing.hedge == Hedge(least=0.2, most_extra=10)
    assert [provider.hedge for provider in content.providers] == [Hedge(most_extra=0), None]
    assert {combo.name: combo.hedge for combo in content.combos if combo.name in ("own", "none")} == {
        "own": Hedge(after=250.0, most_extra=10),  # which acme's own patience allows
        "none": None,
    }
    assert compiled("routing: {hedge: {after: p95, least: 1, most_extra: 5}}").content.routing.hedge == Hedge(
        least=1.0, most_extra=5
    )
    assert compiled("routing: {}").content.routing.hedge == compiled("").content.routing.hedge == Hedge()


SWITCHED = """
providers:
  - {id: acme, format: openai.chat, base_url: "https://a.example.com/v1", models: [{id: m}, {id: only-acme}],
     accounts: [{name: a, api_key: none}, {name: b, api_key: none}]}
  - {id: beta, format: openai.chat, base_url: "https://b.example.com/v1", models: [{id: m}, {id: "*"}],
     accounts: [{name: a, api_key: {value: beta-secret-1}}]}
combos:
  - {name: both, targets: [acme/m, beta/m]}
  - {name: one, targets: [beta/m]}
aliases: [{name: fast, target: one}, {name: quick, target: beta/x}]
"""
OFF = [
    SWITCHED.replace("id: beta,", "id: beta, enabled: off,"),
    SWITCHED.replace("{name: a, api_key: {value", "{name: a, enabled: no, api_key: {value"),
    SWITCHED + "routing: {blocked_providers: [beta]}\n",
]


@pytest.mark.parametrize("file", OFF, ids=["the provider", "its only account", "blocked"])
def test_a_provider_that_is_off_is_left_out_with_the_targets_that_it_has(file):
    snapshot = decode(compiled(file, NO_AUTO).stamped(1, 0))
    assert [provider.id for provider in snapshot.providers] == ["acme"]
    assert [(combo.name, combo.targets) for combo in snapshot.combos] == [("both", ("acme/m",))]
    assert snapshot.off == Off(models=("beta/m", "beta/*"), idle=("one", "fast", "quick"))


def test_an_account_that_is_off_is_left_out_and_those_beside_it_go_on():
    file = SWITCHED.replace("{name: a, api_key: none}", "{name: a, api_key: none, enabled: off}")
    snapshot = compiled(file).content
    assert [account.id for account in snapshot.providers[0].accounts] == ["acme/b"]
    assert (snapshot.combos, snapshot.off) == (compiled(SWITCHED).content.combos, Off())


def test_a_combo_that_is_off_is_left_out_with_its_aliases():
    snapshot = compiled(SWITCHED.replace("name: one,", "name: one, enabled: off,"), NO_AUTO).content
    assert [combo.name for combo in snapshot.combos] == ["both", "quick"]
    assert snapshot.off == Off(combos=("fast", "one"))


@pytest.mark.parametrize("file", OFF)
def test_requests_under_way_can_still_have_the_credential_of_what_is_off(file):
    assert compiled(file).accounts["beta/a"].secret == "beta-secret-1"


def test_what_is_on_says_nothing_of_it():
    assert compiled(SWITCHED.replace("id: beta,", "id: beta, enabled: on,")).content == compiled(SWITCHED).content


def test_a_gateway_with_all_providers_off_has_no_demo_either():
    file = SWITCHED.replace("openai.chat,", "openai.chat, enabled: off,")
    assert compiled(file, demo=DemoProvider(base_url="http://127.0.0.1:1/v1")).content.providers == ()
