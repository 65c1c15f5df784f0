"""The ``rules`` sections of a configuration file, and what is wrong with one."""

import pytest
from omni_auth.domain import key_rules
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue.rules import KEEP_ALIVE_OFF, Rules, ThinkingRule
from omni_catalogue.snapshot import Snapshot

FILE = """
rules: {thinking: adaptive, keep_alive: off, system_prompt: {prefix: Be nice.}}
providers:
  - id: acme
    format: openai.chat
    base_url: https://api.acme.com/v1
    streaming: only
    accounts: [{name: a, api_key: {value: acme-secret}}]
    models: [{id: r, reasons: no, streaming: both}, {id: "*"}]
    rules: {thinking: {effort: low}, sanitize: on, developer_to_system: off}
combos:
  - {name: c, targets: [acme/r], rules: {system_to_user: on, clamp: auto}}
keys:
  - {name: k, secret: {value: a-secret-of-some-length}, rules: {thinking: custom, progress: asked, think_tags: off}}
"""


def snapshot(text: str) -> Snapshot:
    return compile_snapshot(load(text, "omniroute.yaml", {}, lambda path: ""), (), b"p" * 32).content


def test_each_place_keeps_what_it_says_and_leaves_the_rest() -> None:
    found = snapshot(FILE)
    assert found.rules == Rules(
        thinking=ThinkingRule(mode="adaptive"), keep_alive=KEEP_ALIVE_OFF, prompt_prefix="Be nice."
    )
    acme = found.providers[0]
    assert acme.rules == Rules(
        thinking=ThinkingRule(mode="custom", effort="low"), sanitize=True, developer_to_system="off"
    )
    assert (acme.streaming, acme.models[0].streaming, acme.models[1].streaming) == ("only", "both", "")
    assert (acme.models[0].reasons, acme.models[1].reasons) == (False, None)
    assert found.combos[0].rules == Rules(system_to_user="on", clamp="auto")
    assert found.keys[0].rules == Rules(
        thinking=ThinkingRule(mode="custom", budget=10_240), progress="asked", think_tags="off"
    )


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("thinking: plenty", "rules.thinking: must be passthrough"),
        ("thinking: {budget: 1, effort: low}", "rules.thinking: takes a budget or an effort, not both"),
        ("thinking: {mode: auto, budget: 1}", "rules.thinking: takes a budget or an effort only"),
        ("thinking: {bugdet: 1}", "rules.thinking.bugdet: unknown key; did you mean 'budget'?"),
        ("thinkin: auto", "rules.thinkin: unknown key; did you mean 'thinking'?"),
        ("clamp: 5", "rules.clamp: must be auto, on or off"),
        ("keep_alive: soon", "rules.keep_alive: must be a number of seconds"),
        ("progress: sometimes", "rules.progress: must be asked, on or off"),
        ("system_prompt: {prefix: [1]}", "rules.system_prompt.prefix: must be a text"),
        ("system_prompt: Be nice.", "rules.system_prompt: must be a mapping"),
        ("guards: {pii: hide}", "rules.guards.pii.request: must be one of off, report, mask, block"),
        ("guards: {pii: {kinds: [emial]}}", "rules.guards.pii.kinds[0]: must be one of secret, email"),
        ("guards: {pii: {restor: on}}", "rules.guards.pii.restor: unknown key; did you mean 'restore'?"),
        (
            "guards: {pii: {patterns: {a: '(x'}}}",
            "rules.guards.pii.patterns.a: the pattern has a '(' that is not closed",
        ),
        ("guards: {pii: {patterns: {a: 'ab*c'}}}", "rules.guards.pii.patterns.a: the pattern repeats without an end"),
        (
            "guards: {pii: {patterns: {a: '(?:a{1,9}){2,9}b'}}}",
            "rules.guards.pii.patterns.a: the pattern is too slow",
        ),
        ("guards: {pii: {patterns: {email: 'abc'}}}", "rules.guards.pii: patterns: 'email' is looked for already"),
        ("guards: {injection: mask}", "rules.guards.injection.mode: must be one of off, report, block"),
        (
            "guards: {injection: {rules: {jailbrake: off}}}",
            "rules.guards.injection: rules: unknown rule 'jailbrake'; did you mean 'jailbreak'?",
        ),
    ],
)
def test_a_wrong_rule_is_told_with_its_line_and_key(written: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        snapshot(f"rules:\n  {written}\n")
    assert f"omniroute.yaml:2: {told}" in str(caught.value)


def test_guards_are_rules_like_others_with_a_mode_for_both_ways_or_for_each() -> None:
    pii = r"{request: mask, restore: on, patterns: {ticket: 'TKT-\d{6}'}, kinds: [email]}"
    acme = FILE.replace("sanitize: on", f"guards: {{pii: {pii}, injection: block}}")
    found = snapshot(acme.replace("thinking: adaptive", "guards: {pii: report}"))
    assert (found.rules.pii_request, found.rules.pii_answer) == ("report", "report")
    rules = Rules(
        thinking=ThinkingRule(mode="custom", effort="low"), developer_to_system="off", pii_request="mask",
        pii_restore=True, pii_patterns={"ticket": r"TKT-\d{6}"}, pii_kinds=("email",), injection="block",
    )  # fmt: skip
    assert found.providers[0].rules == rules
    assert key_rules.read(f"{{guards: {{pii: {pii}, injection: {{rules: {{jailbreak: off}}}}}}}}").injection_rules == {
        "jailbreak": "off"
    }
    assert key_rules.read(key_rules.written(rules)) == rules
