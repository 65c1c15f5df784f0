"""The configuration file: what loads, and what is said about what does not."""

import textwrap

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omni_auth.domain.configuration import check, load
from omni_auth.domain.problems import ConfigErrors
from omni_auth.domain.secrecy import SecretUnreadable
from omni_wire.formats import WireFormat

ISSUE_FILE = """\
server: {host: 127.0.0.1, port: 20128, require_api_key: true}
providers:
  - id: acme                        # model ids: acme/<model>
    format: openai.chat             # openai.chat | openai.responses | anthropic.messages | gemini.generate
    base_url: http://127.0.0.1:9100/v1
    tier: api_key                   # subscription | api_key | cheap | free
    allow_private_address: true     # else loopback/private targets are refused
    accounts:
      - {name: first, api_key: {env: ACME_KEY}}     # every secret is {env: …}, {file: …} or {value: …}
    models:
      - {id: "*"}                   # pass any id through
      - {id: gpt-x, price: {input: 1.25, output: 10, cached_input: 0.125}, context: 272000, max_output: 128000}   # USD per 1M tokens
  - {id: claude, format: anthropic.messages, base_url: http://127.0.0.1:9101, allow_private_address: true,
     accounts: [{name: a, api_key: {value: k}}], models: [{id: "*", price: {input: 3, output: 15}}]}
combos:
  - {name: always-on, strategy: fill-first, targets: [acme/gpt-x, claude/claude-x]}
keys:
  - {name: ci, secret: {env: OMNIROUTE_KEY}, models: ["*"], limits: {requests_per_minute: 600}, budget: {usd: 25, window: month}}
routing: {retries: 0, breaker: off, cache: off}     # each can be switched off (off, false), or tuned
"""  # noqa: E501 - the file of the documentation, as it is
ENV = {"ACME_KEY": "acme-secret-0123456789", "OMNIROUTE_KEY": "client-key-0123456789", "SHORT": "k"}
FILES = {"good.key": "from-a-file-0123456789\n", "empty.key": "\n", "odd.key": "a\x00b"}


def read_secret(path: str) -> str:
    if path not in FILES:
        raise SecretUnreadable(f"the file {path} cannot be read: no such file or directory")
    return FILES[path]


def config(text, env=ENV):
    return load(textwrap.dedent(text), "omniroute.yaml", env, read_secret)


def problems(text, env=ENV):
    with pytest.raises(ConfigErrors) as caught:
        config(text, env)
    return list(caught.value.problems)


def provider(**changes):
    fields = {
        "id": "acme",
        "format": "openai.chat",
        "base_url": "https://api.example.com/v1",
        "accounts": "[{name: a, api_key: {env: ACME_KEY}}]",
    } | changes
    body = "\n    ".join(f"{key}: {value}" for key, value in fields.items() if value is not None)
    return f"providers:\n  - {body.lstrip()}\n"


def test_the_documented_file_loads_to_the_letter():
    found = config(ISSUE_FILE)
    acme, claude = found.config.providers
    assert (acme.id, acme.format, acme.base_url, acme.tier) == (
        "acme", WireFormat.OPENAI_CHAT, "http://127.0.0.1:9100/v1", "api_key",
    )  # fmt: skip
    assert acme.allow_private_address
    assert acme.models[1].price.input == 1_250_000_000
    assert acme.models[1].price.cached_input == 125_000_000
    assert (acme.models[1].context, acme.models[1].max_output) == (272_000, 128_000)
    assert claude.format is WireFormat.ANTHROPIC_MESSAGES
    assert [target.model for target in found.config.combos[0].targets] == ["acme/gpt-x", "claude/claude-x"]
    key = found.config.keys[0]
    assert (key.role, key.limits.requests_per_minute, key.budget.usd) == ("developer", 600, 25_000_000_000)
    assert (key.budget.window, key.budget.unpriced) == ("month", "refuse")
    routing = found.config.routing
    assert (routing.retries, routing.breaker, routing.cache) == (0, None, None)
    assert found.secrets["providers", 0, "accounts", 0, "api_key"] == ENV["ACME_KEY"]
    assert found.secrets["providers", 1, "accounts", 0, "api_key"] == "k"
    assert found.warnings == ()


def test_an_empty_file_is_all_defaults():
    for text in ("", "# nothing yet\n", "{}", "providers:\nkeys:\n"):
        found = config(text).config
        assert found.server.port == 20128
        assert found.server.require_api_key
        assert found.routing.breaker.failures == 5
        assert found.routing.default_max_output == 32_000
        assert found.providers == found.keys == found.combos == ()


def test_omitted_keys_of_a_provider_have_defaults():
    (found,) = config(provider()).config.providers
    assert (found.tier, found.allow_private_address, [model.id for model in found.models]) == ("api_key", False, ["*"])


@pytest.mark.parametrize("name", [item.value for item in WireFormat])
def test_all_four_formats_validate(name):
    assert config(provider(format=name)).config.providers[0].format.value == name


@pytest.mark.parametrize(
    ("text", "breaker", "retries", "cache"),
    [
        ("routing: {}", (5, 60, 30), 0, "asked"),
        ("routing: {breaker: on, retries: 3, cache: on}", (5, 60, 30), 3, "deterministic"),
        ("routing: {breaker: true, retries: off, cache: false}", (5, 60, 30), 0, None),
        ("routing: {breaker: false, retries: false, cache: no}", None, 0, None),
        ("routing: {breaker: 'off', cache: {}}", None, 0, "deterministic"),
        ("routing: {breaker: {failures: 2, open_for: 5}, retries: 1}", (2, 60, 5), 1, "asked"),
        ("routing: {cache: {exact: {requests: any, ttl: 10m}}}", (5, 60, 30), 0, "any"),
    ],
)
def test_each_routing_feature_is_switched_or_tuned(text, breaker, retries, cache):
    found = config(text).config.routing
    tuned = found.breaker and (found.breaker.failures, found.breaker.window, found.breaker.open_for)
    assert (tuned, found.retries, found.cache and found.cache.exact.requests) == (breaker, retries, cache)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", (86_400, 4 << 20, "refuse", False, 0)),
        ("{idempotency: on}", (86_400, 4 << 20, "refuse", False, 0)),
        ("{idempotency: {window: 90m, dedup: 5s, request_id: on}}", (5_400, 4 << 20, "refuse", True, 5)),
        ("{idempotency: {window: 30, max_bytes: 2_048, fail: open, dedup: off}}", (30, 2_048, "open", False, 0)),
    ],
)
def test_idempotency_is_on_with_a_window_of_a_day_and_can_be_tuned(text, found):
    section = config(f"routing: {text}").config.routing.idempotency
    assert (section.window, section.max_bytes, section.fail, section.request_id, section.dedup) == found


@pytest.mark.parametrize(
    ("said", "found"), [("on", "deterministic"), ("any", "any"), ("off", "off"), ("no", "off"), ("asked", "asked")]
)
def test_the_cache_is_a_rule_of_every_place(said, found):
    assert config(f"rules: {{cache: {said}}}").config.rules.cache == found


EMBEDDING = """
  - {id: other, aka: [oth], format: openai.chat, base_url: "https://b.example.com/v1",
     accounts: [{name: a, api_key: none}], models: [{id: embed}]}
  - {id: claude, format: anthropic.messages, base_url: "https://c.example.com", accounts: [{name: a, api_key: none}]}
routing: {cache: {semantic: {embeddings: %s}}}
"""


@pytest.mark.parametrize("named", ["other/embed", "oth/embed", "local"])
def test_the_semantic_cache_goes_by_a_model_that_is_there(named):
    cache = config("providers:" + EMBEDDING % named).config.routing.cache
    assert (cache.semantic.embeddings, cache.semantic.requests, cache.semantic.threshold) == (named, "asked", 0.95)
    assert (cache.semantic.ttl, cache.semantic.max_entries, cache.semantic.timeout) == (None, 256, 2.0)
    assert config("routing: {cache: {semantic: off}}").config.routing.cache.semantic is None


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("othre/embed", "there is no provider 'othre'; did you mean 'other'?"),
        ("other/embde", "provider 'other' has no model 'embde'; did you mean 'embed'?"),
        ("other", "must be provider/model, or local for the one that is installed here"),
        ("other/*", "must name one model, without '*'"),
        (
            "claude/x",
            "provider 'claude' speaks anthropic.messages, which has no /embeddings; name a model of one that ",
        ),
    ],
)
def test_the_semantic_cache_goes_by_no_model_that_is_not(named, told):
    (found,) = problems("providers:" + EMBEDDING % named)
    assert found.startswith(f"omniroute.yaml:5: routing.cache.semantic.embeddings: {told}")


def test_idempotency_can_be_switched_off():
    assert config("routing: {idempotency: off}").config.routing.idempotency is None


def test_scalars_are_what_their_key_takes_whatever_yaml_would_make_of_them():
    found = config(
        """
        providers:
          - id: on
            format: openai.chat
            base_url: https://api.example.com/v1
            accounts: [{name: 007, api_key: {value: 0123}}]
            models: [{id: 4.10}, {id: 2024-01-01}, {id: null-ish}]
        server: {port: '8_080', require_api_key: 'no'}
        """
    )
    assert found.config.providers[0].id == "on"
    assert found.config.providers[0].accounts[0].name == "007"
    assert found.secrets["providers", 0, "accounts", 0, "api_key"] == "0123"
    assert [model.id for model in found.config.providers[0].models] == ["4.10", "2024-01-01", "null-ish"]
    assert (found.config.server.port, found.config.server.require_api_key) == (8080, False)


def test_anchors_and_merge_keys_work():
    found = config(
        """
        providers:
          - &base {id: a, format: openai.chat, base_url: https://a.example/v1,
                   accounts: [{name: x, api_key: {value: s}}]}
          - {<<: *base, id: b}
        """
    )
    assert [(item.id, item.base_url) for item in found.config.providers] == [
        ("a", "https://a.example/v1"), ("b", "https://a.example/v1"),
    ]  # fmt: skip


def test_an_assumed_price_and_serving_unpriced_models():
    text = "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 0.5, window: total, unpriced: %s}}]"
    assumed = config(text % "{input: 1, output: 5}").config.keys[0].budget
    assert (assumed.usd, assumed.window, assumed.unpriced.output) == (500_000_000, "total", 5_000_000_000)
    assert config(text % "serve").config.keys[0].budget.unpriced == "serve"


def test_a_budget_clamps_what_it_cannot_pay_for_or_refuses_it():
    text = "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 1%s}}]"
    assert config(text % "").config.keys[0].budget.unaffordable == "clamp"
    assert config(text % ", unaffordable: refuse").config.keys[0].budget.unaffordable == "refuse"


def test_a_combo_may_bear_a_models_id():
    text = provider(models="[{id: gpt-x}]") + "combos: [{name: gpt-x, targets: [acme/gpt-x]}]"
    assert config(text).config.combos[0].name == "gpt-x"


BASE = provider()
BROKEN = [
    ("server: {port: 99999}", "1: server.port: must be from 0 to 65535"),
    ("server:\n  prot: 1", "2: server.prot: unknown key; did you mean 'port'?"),
    ("server: {require_api_key: maybe}", "1: server.require_api_key: must be true or false"),
    ("server: {host: 'a b'}", "1: server.host: must be a host name or an address"),
    ("server: [1]", "1: server: must be a mapping of keys to values"),
    ("server: {max_body_bytes: 12.5}", "1: server.max_body_bytes: must be a whole number"),
    ("- 1", "1: must be a mapping of keys to values"),
    ("provider: []", "1: provider: unknown key; did you mean 'providers'?"),
    ("providers: {id: 3}", "1: providers: must be a list"),
    ("providers:\n  - acme", "2: providers[0]: must be a mapping of keys to values"),
    (provider(tier="paid"), "6: providers[0].tier: must be one of subscription, api_key, cheap, free"),
    (
        provider(accounts="[{name: a, api_key: none, project: p-1}]"),
        "2: providers[0]: the account a: project is for providers of cloudcode.generate",
    ),
    (
        provider(accounts="[{name: a, api_key: none, identity: antigravity}]"),
        "2: providers[0]: the account a: identity is not one of openai.chat",
    ),
    (
        provider(format="cloudcode.generate", accounts="[{name: a, api_key: none, identity: codex}]"),
        "5: providers[0].accounts[0].identity: must be one of antigravity",
    ),
    (
        provider(format="cloudcode.generate", accounts="[{name: a, api_key: none, project: 'a/b'}]"),
        "5: providers[0].accounts[0].project: must be a project id",
    ),
    (
        provider(accounts="[{name: a, api_key: none, profile_arn: 'arn:aws:codewhisperer::123456789012:profile/A'}]"),
        "2: providers[0]: the account a: profile_arn is for providers of kiro.conversation",
    ),
    (
        provider(format="kiro.conversation", accounts="[{name: a, api_key: none, profile_arn: my-profile}]"),
        "5: providers[0].accounts[0].profile_arn: must be a profile's ARN",
    ),
    (
        provider(format="cursor.chat", accounts="[{name: a, api_key: none, identity: cursor, client_version: 3.1.4}]"),
        "2: providers[0]: the account a: machine_id goes with identity: cursor, which needs both",
    ),
    (
        provider(format="cursor.chat", accounts="[{name: a, api_key: none, machine_id: 0123abcd}]"),
        "2: providers[0]: the account a: machine_id goes with identity: cursor, which needs both",
    ),
    (
        provider(format="cursor.chat", accounts="[{name: a, api_key: none, machine_id: 'a b'}]"),
        "5: providers[0].accounts[0].machine_id: must be a machine id",
    ),
    (provider(format="openai.chats"), "3: providers[0].format: must be one of openai.chat, openai.responses,"),
    (provider(format=None), "2: providers[0].format: is required"),
    (provider(id="a/b"), "2: providers[0].id: must be a name of letters"),
    (provider(base_url="api.example.com/v1"), "4: providers[0].base_url: must be an http:// or https:// URL"),
    (provider(base_url="ftp://a.example/v1"), "4: providers[0].base_url: must be an http:// or https:// URL"),
    (provider(base_url="https:///v1"), "4: providers[0].base_url: must be an http:// or https:// URL with a host"),
    (provider(base_url="https://u:p@a.example"), "4: providers[0].base_url: must not carry credentials"),
    (provider(base_url="https://a.example/?k=v"), "4: providers[0].base_url: must not have a query"),
    (provider(base_url="https://a.example:99999"), "4: providers[0].base_url: must be a URL such as"),
    (provider(base_url="http://127.0.0.1:1/v1"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="http://localhost/v1"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="http://10.1.2.3/v1"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="http://169.254.169.254"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="'http://[::1]:80/v1'"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="'http://[::ffff:10.0.0.1]'"), "4: providers[0].base_url: is a loopback or private address;"),
    (provider(base_url="http://2130706433/v1"), "4: providers[0].base_url: must have a host name or a plain IP"),
    (provider(base_url="http://127.1/v1"), "4: providers[0].base_url: must have a host name or a plain IP"),
    (provider(base_url="http://0x7f.1/v1"), "4: providers[0].base_url: must have a host name or a plain IP"),
    (provider(accounts="[]"), "5: providers[0].accounts: must have at least one item"),
    (provider(accounts="[{name: a}]"), "5: providers[0].accounts[0].api_key: is required"),
    (
        provider(accounts="[{name: a, login: codex/a, api_key: none, accept_terms: codex}]"),
        "5: providers[0].accounts[0]: login: stands in the place of api_key; leave one of them out",
    ),
    (
        provider(accounts="[{name: a, login: codex/a}]"),
        "5: providers[0].accounts[0]: login: OpenAI gives a ChatGPT plan's Codex to its own clients;",
    ),
    (
        provider(accounts="[{name: a, api_key: none, accept_terms: codex}]"),
        "5: providers[0].accounts[0]: accept_terms: goes with a login whose provider minds its use here",
    ),
    (
        provider(accounts="[{name: a, login: codexx/a}]"),
        "5: providers[0].accounts[0].login: names no login that there is; did you mean 'codex'?",
    ),
    (
        provider(accounts="[{name: a, login: codex}]"),
        "5: providers[0].accounts[0].login: must be a login: KIND/NAME, such as codex/work",
    ),
    (
        provider(accounts="[{name: a, api_key: nothing}]"),
        "5: providers[0].accounts[0].api_key: must be exactly one of {env: NAME}, {file: PATH} and {value: TEXT}, or "
        "none for a provider that asks for no key",
    ),
    ("keys: [{name: a, secret: none}]", "1: keys[0].secret: must be exactly one of {env: NAME}, {file: PATH} and"),
    (provider(accounts="[{name: a, api_key: sk-oops}]"), "5: providers[0].accounts[0].api_key: must be exactly one"),
    (
        provider(accounts="[{name: a, api_key: {env: ACME_KEY, value: x}}]"),
        "5: providers[0].accounts[0].api_key: must be exactly one of {env: NAME}, {file: PATH} and {value: TEXT}",
    ),
    (
        provider(accounts="[{name: a, api_key: {env: NOT_THERE}}]"),
        "5: providers[0].accounts[0].api_key: the environment variable NOT_THERE is not set",
    ),
    (
        provider(accounts="[{name: a, api_key: {file: none.key}}]"),
        "5: providers[0].accounts[0].api_key: the file none.key cannot be read: no such file or directory",
    ),
    (provider(accounts="[{name: a, api_key: {file: empty.key}}]"), "5: providers[0].accounts[0].api_key: the file"),
    (provider(accounts="[{name: a, api_key: {file: odd.key}}]"), "5: providers[0].accounts[0].api_key: the file"),
    (
        provider(accounts="[{name: a, api_key: {value: x}},\n    {name: a, api_key: {value: y}}]"),
        "6: providers[0].accounts[1].name: another account of this provider is called 'a' already (accounts[0])",
    ),
    (provider(models="[]"), "6: providers[0].models: must have at least one item"),
    (provider(models="[{id: 'gpt-*'}]"), "6: providers[0].models[0].id: must be a model's id, or '*' alone"),
    (provider(models="[{id: a}, {id: a}]"), "6: providers[0].models[1].id: another model of this provider"),
    (provider(models="[{id: a, price: {input: 1}}]"), "6: providers[0].models[0].price.output: is required"),
    (
        provider(models="[{id: a, price: {input: -1, output: 1}}]"),
        "6: providers[0].models[0].price.input: must be from 0 to 1000000 USD",
    ),
    (
        provider(models="[{id: a, price: {input: 1e-10, output: 1}}]"),
        "6: providers[0].models[0].price.input: must not be finer than a billionth of a USD",
    ),
    (
        provider(models="[{id: a, price: {input: .nan, output: 1}}]"),
        "6: providers[0].models[0].price.input: must be an amount in USD, such as 1.25",
    ),
    (provider(models="[{id: a, context: 0}]"), "6: providers[0].models[0].context: must be from 1 to 1000000000"),
    (BASE + BASE.removeprefix("providers:\n"), "6: providers[1].id: another provider is called 'acme' already"),
    (
        BASE + "combos:\n  - {name: c, strategy: radnom, targets: [acme/x]}",
        "7: combos[0].strategy: must be one of priority, fill-first, round-robin, weighted, random, p2c, least-used, "
        "cost-optimized, lowest-latency, usage-headroom, cache-affinity; did you mean 'random'?",
    ),
    (BASE + "combos:\n  - {name: c, targets: [acmee/x]}", "7: combos[0].targets[0]: there is no provider 'acmee'; did"),
    (BASE + "combos:\n  - {name: c, targets: [x]}", "7: combos[0].targets[0]: must be provider/model"),
    (BASE + "combos:\n  - {name: c, targets: [c]}", "7: combos[0].targets[0]: goes round in a circle: c → c"),
    (BASE + "combos:\n  - {name: c, targets: [acme/x, acme/x]}", "7: combos[0].targets[1]: is in this combo already"),
    (BASE + "combos:\n  - {name: acme, targets: [acme/x]}", "7: combos[0].name: a provider has this name already"),
    (BASE + "combos:\n  - {name: c, targets: []}", "7: combos[0].targets: must have at least one item"),
    (BASE + "combos:\n  - {name: c/d, targets: [acme/x]}", "7: combos[0].name: must be a name"),
    (
        provider(models="[{id: gpt-x}]") + "combos:\n  - {name: c, targets: [acme/gpt-y]}",
        "8: combos[0].targets[0]: provider 'acme' has no model 'gpt-y'; did you mean 'gpt-x'?",
    ),
    ("keys:\n  - {name: a, secret: {env: ACME_KEY}, role: root}", "2: keys[0].role: must be one of admin, developer"),
    ("routing: {cache: {exact: {requests: all}}}", "1: routing.cache.exact.requests: must be one of asked, determ"),
    ("routing: {cache: {exact: {ttl: 0}}}", "1: routing.cache.exact.ttl: must be more than 0"),
    ("routing: {cache: {semantic: {}}}", "1: routing.cache.semantic.embeddings: is required"),
    ("routing: {cache: {semantic: on}}", "1: routing.cache.semantic: must be off or a mapping such as {embeddings:"),
    ("routing: {cache: {semantic: {embeddings: local, threshold: 1.1}}}",
     "1: routing.cache.semantic.threshold: must be from 0 to 1"),
    ("routing: {cache: {semantic: {embeddings: local, threshold: -0.1}}}",
     "1: routing.cache.semantic.threshold: must be from 0 to 1"),
    ("routing: {cache: {semantic: {embeddings: local, max_entries: 0}}}",
     "1: routing.cache.semantic.max_entries: must be from 1 to 1024"),
    ("routing: {cache: {semantic: {embeddings: local, ttl: 2h}}}",
     "1: routing.cache: semantic.ttl is more than exact.ttl"),
    ("routing: {cache: {exact: {requests: asked}, semantic: {embeddings: local, requests: any}}}",
     "1: routing.cache: semantic.requests is any and exact.requests only asked"),
    ("rules: {semantic_cache: all}", "1: rules.semantic_cache: must be one of asked, deterministic, any, on, off"),
    ("rules: {cache: all}", "1: rules.cache: must be one of asked, deterministic, any, on, off"),
    ("routing: {cache: some}", "1: routing.cache: must be on, off or a mapping such as {exact:"),
    ("routing: {idempotency: {window: 31d}}", "1: routing.idempotency.window: must be more than 0 and at most 2592000"),
    ("routing: {idempotency: {window: soon}}", "1: routing.idempotency.window: must be a time such as 24h, 90m or 30s"),
    ("routing: {idempotency: {dedup: 2h}}", "1: routing.idempotency.dedup: must be more than 0 and at most 3600"),
    ("routing: {idempotency: {fail: closed}}", "1: routing.idempotency.fail: must be one of refuse, open"),
    ("routing: {idempotency: {max_bytes: 10}}", "1: routing.idempotency.max_bytes: must be from 1024 to 67108864"),
    ("routing: {idempotency: maybe}", "1: routing.idempotency: must be on, off or a mapping of window, max_bytes,"),
    ("routing: {idempotency: {windw: 1h}}", "1: routing.idempotency.windw: unknown key; did you mean 'window'?"),
    ("keys:\n  - {secret: {env: ACME_KEY}}", "2: keys[0].name: is required"),
    (
        "keys:\n  - {name: a, secret: {env: ACME_KEY}}\n  - {name: a, secret: {env: OMNIROUTE_KEY}}",
        "3: keys[1].name: another key is called 'a' already (keys[0])",
    ),
    (
        "keys:\n  - {name: a, secret: {env: ACME_KEY}}\n  - {name: b, secret: {env: ACME_KEY}}",
        "3: keys[1].secret: is the same secret as that of keys[0]",
    ),
    (
        "keys: [{name: a, secret: {env: ACME_KEY}, limits: {requests_per_minute: 0}}]",
        "1: keys[0].limits.requests_per_minute: must be from 1 to 1000000000 (leave it out for no limit)",
    ),
    (
        "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 0}}]",
        "1: keys[0].budget.usd: must be more than 0",
    ),
    (
        "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 1, window: year}}]",
        "1: keys[0].budget.window: must be one of day, week, month, total",
    ),
    (
        "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 1, unpriced: maybe}}]",
        "1: keys[0].budget.unpriced: must be refuse, serve or an assumed price",
    ),
    (
        "keys: [{name: a, secret: {env: ACME_KEY}, budget: {usd: 1, unpriced: {input: 1, outptu: 2}}}]",
        "1: keys[0].budget.unpriced.outptu: unknown key; did you mean 'output'?",
    ),
    ("keys: [{name: a, secret: {env: ACME_KEY}, models: []}]", "1: keys[0].models: must have at least one item"),
    ("routing: {retries: -1}", "1: routing.retries: must be from 0 to 10"),
    (
        BASE + "routing:\n  blocked_providers:\n  - acme\n  - acmee",
        "9: routing.blocked_providers[1]: there is no provider 'acmee'; did you mean 'acme'?",
    ),
    (
        BASE + "routing: {blocked_providers: [other]}",
        "6: routing.blocked_providers[0]: there is no provider 'other'; take it off the list",
    ),
    (BASE + "routing: {blocked_providers: acme}", "6: routing.blocked_providers: must be a list"),
    (provider(enabled="maybe"), "6: providers[0].enabled: must be true or false"),
    ("routing: {retries: on}", "1: routing.retries: must be a whole number"),
    ("routing: {breaker: sometimes}", "1: routing.breaker: must be on, off or a mapping"),
    ("routing:\n  breaker:\n    failure: 3", "3: routing.breaker.failure: unknown key; did you mean 'failures'?"),
    (
        "routing: {breaker: {limited_for: 300}}",
        "1: routing.breaker: limited_for is more than limited_longest, which is the most that it grows to",
    ),
    ("routing: {breaker: {refused_for: 0}}", "1: routing.breaker.refused_for: must be from 1 to 86400"),
    ("routing: {breaker: {told_longest: 30d}}", "1: routing.breaker.told_longest: must be a whole number"),
    ("routing: {mid_stream: {hold_tokens: 0}}", "1: routing.mid_stream.hold_tokens: must be from 1 to 10000"),
    ("routing: {mid_stream: {hold_seconds: 0}}", "1: routing.mid_stream.hold_seconds: must be more than 0"),
    (BASE + "combos: [{name: c, targets: ['acme/ x']}]", "6: combos[0].targets[0].model: must be a model's id without"),
    (
        provider(
            models="[{id: a, price: {input: 1, output: 2, above: [{tokens: 9, input: 2, output: 3},"
            " {tokens: 9, input: 3, output: 4}]}}]"
        ),
        "6: providers[0].models[0].price: above must go from fewer tokens to more",
    ),
    ("routing: {queue: {patience: 20}}", "1: routing.queue: patience is 20 s, more than the 10 s of longest"),
    ("routing: {queue: maybe}", "1: routing.queue: must be on, off or a mapping"),
    ("routing: {retry_budget: {percent: 101}}", "1: routing.retry_budget.percent: must be from 0 to 100"),
    ("routing: {hedge: perhaps}", "1: routing.hedge: must be on, off or a mapping such as {after: p95, least: 0.2,"),
    ("routing: {hedge: {after: p99}}", "1: routing.hedge.after: must be p95, for the time in which 95 of 100 streams"),
    ("routing: {hedge: {after: 0}}", "1: routing.hedge.after: must be more than 0 and at most 86400 seconds"),
    ("routing: {hedge: {most_extra: 101}}", "1: routing.hedge.most_extra: must be from 0 to 100 (percent"),
    ("routing: {hedge: {after: 2, least: 1}}", "1: routing.hedge: least bounds p95, and after is 2 s"),
    ("routing: {hedge: {after: 120}}", "1: routing.hedge.after: is not before the 120 s of timeouts.first_byte, when"),
    ("routing: {hedge: {least: 3}, timeouts: {first_byte: 3}}", "1: routing.hedge.least: is not before the 3 s of"),
    (provider(hedge="{after: 5}", timeouts="{first_byte: 4}"), "6: providers[0].hedge.after: is not before the 4 s"),
    (
        BASE + "combos: [{name: c, targets: [acme/x], hedge: {after: 5}, timeouts: {first_byte: 5}}]",
        "6: combos[0].hedge.after: is not before the 5 s of timeouts.first_byte",
    ),
    (
        BASE + "combos: [{name: c, targets: [acme/x], hedge: {after: 9}}]\nrouting: {timeouts: {first_byte: 5}}",
        "6: combos[0].hedge.after: is not before the 5 s of timeouts.first_byte, when the next is asked in any",
    ),
    ("routing: {mid_stream: {resumes: on}}", "1: routing.mid_stream.resumes: unknown key; did you mean 'resume'?"),
    (provider(rate_limit="{concurrent: 0}"), "6: providers[0].rate_limit.concurrent: must be from 1 to"),
    (
        provider(rate_limit="{min_gap: 2, requests_per_minute: 60}"),
        "6: providers[0].rate_limit: a min_gap of 2 s lets 30 requests a minute through, fewer than the 60 of",
    ),
    (
        provider(
            rate_limit="{concurrent: 4}",
            accounts="[{name: a, api_key: {env: ACME_KEY}, rate_limit: {concurrent: 5}}]",
        ),
        "2: providers[0]: the account a: rate_limit: concurrent is 5, more than the 4 of its provider",
    ),
    (
        provider(rate_limit="{tokens_per_minute: 10}", models="[{id: m, rate_limit: {tokens_per_minute: 11}}]"),
        "2: providers[0]: the model m: rate_limit: tokens_per_minute is 11, more than the 10 of its provider",
    ),
    (provider(resumes="maybe"), "6: providers[0].resumes: must be one of prefill, prompt, off"),
    ("routing: {cache: {ttl: 3}}", "1: routing.cache.ttl: unknown key (known: exact, semantic)"),
    ("routing: {timeouts: {idle: 0}}", "1: routing.timeouts.idle: must be more than 0"),
    ("routing: {timeouts: {idle: 1:30}}", "1: routing.timeouts.idle: must be a number of seconds"),
    ("routing: {default_max_output: many}", "1: routing.default_max_output: must be a whole number"),
    (provider(id="[]"), "2: providers[0].id: must be a name of letters"),
    (BASE + "combos:\n  - {name: {a: b}, targets: [acme/x]}", "7: combos[0].name: must be a name of letters"),
    (BASE + "combos:\n  - {name: c, targets: [[acme/x]]}", "7: combos[0].targets[0]: must be a text"),
    (provider(models="[{id: {a: b}}]"), "6: providers[0].models[0].id: must be a text"),
    ("keys: [{name: [a], secret: {env: ACME_KEY}}]", "1: keys[0].name: must be a name of letters"),
    ("server: {port: 1}\nkeys: []\nserver: {port: 2}", "3: server: the key is here twice (first in line 1)"),
    ("a: b\nc: [d", "2: not YAML: while parsing a flow sequence expected ',' or ']'"),
    ("a: 1\n\tb: 2", "2: not YAML: while scanning for the next token"),
    ("a: 1\n---\nb: 2", "2: not YAML: expected a single document in the stream"),
    ("server:\n  host: !secret x", "2: server.host: a YAML tag that is not known here"),
    ('server: {host: "a\\0b"}', "1: server.host: must not have control characters or line breaks"),
    ("server:\n  ? [a, b]\n  : 1", "2: server: a key must be a word"),
    ("server:\n  host: a\x07b", "2: not YAML: a character that text cannot have"),
    ("[" * 3000, "1: nested too deep or too large"),
    ("a: &a [*a]", "1: nested too deep or too large"),
    ('a: "\\UFFFFFFFF"', "1: not YAML: OverflowError in an escape"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_told_by_file_line_and_key(text, told):
    found = problems(text)
    assert any(line.startswith(f"omniroute.yaml:{told}") for line in found), found
    assert len(found) <= 2, found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (provider(accounts="[{name: a b, api_key: {env: ACME_KEY}}]"), "5: providers[0].accounts[0].name"),
        (provider(models="[{id: 'a b'}]"), "6: providers[0].models[0].id"),
        (BASE + "combos: [{name: c, targets: [[x]]}]", "6: combos[0].targets[0]"),
        ("keys: [{name: a, secret: {env: ACME_KEY}, models: ['']}]", "1: keys[0].models[0]"),
    ],
)  # fmt: skip
def test_a_bad_item_does_not_make_its_list_look_empty_too(text, told):
    (found,) = problems(text)
    assert found.startswith(f"omniroute.yaml:{told}: ")


def test_aliases_cannot_blow_a_small_file_up():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems("\n".join(lines))[0].endswith("nested too deep or too large")


def test_all_problems_are_told_at_once_in_the_order_of_the_file():
    text = ISSUE_FILE.replace("tier:", "teir:").replace("fill-first", "first-fill").replace("retries: 0", "retries: x")
    found = problems(text, {"ACME_KEY": "a" * 20, "OMNIROUTE__SERVER__PROT": "1"})
    assert [line.split(": ")[:2] for line in found] == [
        ["omniroute.yaml:6", "providers[0].teir"],
        ["omniroute.yaml:16", "combos[0].strategy"],
        ["omniroute.yaml:18", "keys[0].secret"],
        ["omniroute.yaml:19", "routing.retries"],
        ["OMNIROUTE__SERVER__PROT", "server.prot"],
    ]


@pytest.mark.parametrize(
    "secret", ["sk-canary-1", "{sk-canary-1: }", "{valu: sk-canary-1}", "*sk-canary-1", "!sk-canary-1", '"sk-canary-1',
               "{value: sk-canary-1, env: X}", "[sk-canary-1]", "{value: sk-canary-1\n  x", "{value: 'sk-canary-1ü'}",
               "%sk-canary-1", "@sk-canary-1", "`sk-canary-1", "{value: 'sk-canary-1' 'sk-canary-1'}",
               "!sk-canary-1!x y", "&sk-canary-1 &sk-canary-1 x"]
)  # fmt: skip
def test_a_secret_in_the_wrong_place_is_not_repeated(secret):
    found = problems(provider(accounts=f"[{{name: a, api_key: {secret}}}]"))
    assert found
    assert "canary" not in "".join(found)


def test_nothing_that_is_loaded_shows_a_secret():
    found = config(ISSUE_FILE.replace("{value: k}", "{value: canary}"), dict.fromkeys(ENV, "canary" * 4))
    assert "canary" not in repr(found)
    assert "canary" not in repr(found.config)
    assert "canary" not in str(found.config)


def test_overrides_come_before_validation_and_are_named_in_errors():
    env = ENV | {
        "OMNIROUTE__SERVER__PORT": "8080",
        "omniroute__routing__RETRIES": "2",
        "OMNIROUTE__ROUTING__BREAKER__FAILURES": "9",
        "OMNIROUTE__PROVIDERS__0__TIER": "cheap",
        "OMNIROUTE__PROVIDERS__1__ACCOUNTS__0__API_KEY": "{env: ACME_KEY}",
        "OMNIROUTE__SERVER__HOST": "",
        "OMNIROUTE_KEY_OTHER": "not an override",
    }
    found = config(ISSUE_FILE, env)
    assert (found.config.server.port, found.config.server.host) == (8080, "127.0.0.1")
    assert (found.config.routing.retries, found.config.routing.breaker.failures) == (2, 9)
    assert found.config.providers[0].tier == "cheap"
    assert found.secrets["providers", 1, "accounts", 0, "api_key"] == ENV["ACME_KEY"]
    assert config("", {"OMNIROUTE__SERVER__PORT": "1"}).config.server.port == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OMNIROUTE__SERVER__PORT", "http", "server.port: must be a whole number"),
        ("OMNIROUTE__SERVER__PROT", "1", "server.prot: unknown key; did you mean 'port'?"),
        ("OMNIROUTE__PROVIDERS__7__TIER", "free", "providers: the list has no item 7 (it has 2, counted from 0)"),
        ("OMNIROUTE__PROVIDERS__X__TIER", "free", "providers: the list has no item x (it has 2, counted from 0)"),
        ("OMNIROUTE__SERVER__PORT__X", "1", "server.port: must be a whole number"),
        ("OMNIROUTE__SERVER", "[", "server: not YAML:"),
        ("OMNIROUTE__", "1", "not the path of a key"),
        ("OMNIROUTE__KEYS__0__SECRET", "{env: NOT_THERE}", "keys[0].secret: the environment variable NOT_THERE is not"),
    ],
)
def test_a_wrong_override_is_told_by_its_variable(name, value, told):
    (found,) = problems(ISSUE_FILE, ENV | {name: value})
    assert found.startswith(f"{name}: {told}")


def test_check_counts_what_is_there_and_warns():
    report = check(ISSUE_FILE, "omniroute.yaml", ENV)
    assert report.ok
    assert (report.providers, report.accounts, report.combos, report.keys) == (2, 2, 1, 1)
    text = """
keys: [{name: a, secret: {env: SHORT}}]
providers:
  - {id: a, format: anthropic.messages, base_url: https://a.example/v1, accounts: [{name: a, api_key: {file: x}}]}
  - {id: b, format: openai.chat, base_url: https://a.example, accounts: [{name: a, api_key: {file: y}}]}
"""
    report = check(text, "f.yaml", ENV)
    assert report.ok
    assert [line.split(" warning: ")[0] for line in report.warnings] == [
        "f.yaml:2: keys[0].secret:",
        "f.yaml:4: providers[0].base_url:",
        "f.yaml:5: providers[1].base_url:",
    ]


def test_check_without_a_reader_takes_secret_files_on_trust():
    text = "keys: [{name: a, secret: {file: x}}, {name: b, secret: {file: y}}]"
    assert check(text, "f.yaml", {}).ok
    assert not check(text, "f.yaml", {}, read_secret).ok


words = st.sampled_from(
    ["providers", "keys", "server", "routing", "combos", "id", "name", "secret", "value", "env", "*"]
)
scalars = st.one_of(words, st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.floats())
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))
PIECES = [
    "providers:", "keys:", "- ", "  ", "\n", "{", "}", "[", "]", ": ", "&a ", "*a", "<<: ", "!x ", "'", '"', "?", "|",
    ">", "\\U", "%", "---", "...", "#", "id", "off", "1e9", "\t", "\x00", "\ud800", "é", "\ufeff", ",", "!!int ", "@",
]  # fmt: skip


def loads_or_tells(text):
    told = told_of(text, ENV)
    assert told is None or (told and all(line.startswith("f.yaml:") for line in told))


def told_of(text, env):
    try:
        load(text, "f.yaml", env, read_secret)
    except ConfigErrors as error:
        return error.problems
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=60))
@example("- " * 2000)
@example("a: !!binary x\n? \n: \n")
def test_any_text_gives_a_configuration_or_problems_and_nothing_else(text):
    loads_or_tells(text)


@settings(max_examples=200, deadline=None)
@given(trees)
@example({"providers": [{"id": []}]})
@example({"providers": [{"id": {"a": "b"}, "models": [{"id": []}]}], "combos": [{"name": {"a": "b"}}]})
def test_any_tree_gives_a_configuration_or_problems_and_nothing_else(tree):
    loads_or_tells(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ISSUE_FILE)), st.integers(0, 6), st.sampled_from(PIECES))
def test_any_edit_of_a_good_file_gives_a_configuration_or_problems(place, cut, piece):
    loads_or_tells(ISSUE_FILE[:place] + piece + ISSUE_FILE[place + cut :])


@given(
    st.dictionaries(st.sampled_from(["server", "port", "0", "providers", ""]).map(str), st.text(max_size=9), max_size=3)
)
def test_any_override_gives_a_configuration_or_problems(env):
    named = {f"OMNIROUTE__{key}__{key}": value for key, value in env.items()}
    assert told_of(ISSUE_FILE, ENV | named) != ()
