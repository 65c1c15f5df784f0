"""Which rules hold for a key, a combo, a provider and a model, and when a relayed body can be left alone."""

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.rules import (
    AnswerRules,
    Effective,
    Facts,
    Rules,
    ThinkingRule,
    merged,
    resolve,
    takes_no_system,
    thinks_in_tags,
    without_prompt,
)
from omni_wire.formats import WireFormat


def effective(*places: Rules, model: str = "some-model", url: str = "https://api.acme.com/v1",
              wire: WireFormat = WireFormat.OPENAI_CHAT, reasons: bool | None = None) -> Effective:  # fmt: skip
    return resolve(Facts(format=wire, base_url=url, model=model, reasons=reasons), *places)


def test_the_more_specific_place_wins_rule_by_rule() -> None:
    wide = Rules(sanitize=True, prompt_prefix="wide", keep_alive=5.0)
    found = merged(wide, Rules(prompt_prefix="provider"), Rules(), Rules(sanitize=False))
    assert (found.sanitize, found.prompt_prefix, found.keep_alive) == (False, "provider", 5.0)


def test_an_empty_prompt_takes_back_what_a_wider_place_injects() -> None:
    found = effective(Rules(prompt_prefix="Be kind."), Rules(prompt_prefix=""))
    assert found.grows == 0
    assert found.relayed is None or found.relayed.prefix == ""


def test_a_catalogue_asks_the_four_places_from_wide_to_narrow() -> None:
    provider = s.Provider(
        id="acme",
        format=WireFormat.OPENAI_CHAT,
        base_url="http://127.0.0.1:1/v1",
        accounts=(s.Account(id="acme/a", name="a", secret_version="1"),),
        models=(s.Model(id="m"),),
        rules=Rules(prompt_prefix="provider", prompt_suffix="provider"),
    )
    snapshot = s.Snapshot(
        revision=1,
        created=0,
        server=s.Server(),
        providers=(provider,),
        combos=(s.Combo(name="c", strategy="fill-first", targets=("acme/m",), rules=Rules(prompt_suffix="combo")),),
        keys=(s.KeyPolicy(id="k", name="k", rules=Rules(progress="on")), s.KeyPolicy(id="other", name="other")),
        routing=s.Routing(),
        rules=Rules(prompt_prefix="whole", progress="off"),
    )
    catalogue = Catalogue(s.decode(s.encode(snapshot)))
    key, other = catalogue.key("k"), catalogue.key("other")
    assert key is not None
    assert other is not None
    by_combo = catalogue.rules(key, "c", provider, provider.models[0])
    assert by_combo.relayed is not None
    assert (by_combo.relayed.prefix, by_combo.relayed.suffix, by_combo.progress) == ("provider", "combo", "on")
    alone = catalogue.rules(other, "", provider, provider.models[0])
    assert alone.relayed is not None
    assert (alone.relayed.suffix, alone.progress) == ("provider", "off")


@pytest.mark.parametrize(
    ("url", "wire", "folded"),
    [
        ("https://api.acme.com/v1", WireFormat.OPENAI_CHAT, True),
        ("https://api.openai.com/v1", WireFormat.OPENAI_CHAT, False),
        ("https://me.openai.azure.com/openai/v1", WireFormat.OPENAI_CHAT, False),
        ("https://api.githubcopilot.com", WireFormat.OPENAI_CHAT, False),
        ("https://evil-openai.com/v1", WireFormat.OPENAI_CHAT, True),
        ("https://api.acme.com/v1", WireFormat.OPENAI_RESPONSES, False),
    ],
)
def test_the_developer_role_is_left_to_those_who_know_it(url: str, wire: WireFormat, folded: bool) -> None:
    found = effective(url=url, wire=wire).relayed
    assert (found is not None and found.developer_to_system) is folded
    always = effective(Rules(developer_to_system="on"), url=url, wire=wire).relayed
    assert always is not None
    assert effective(Rules(developer_to_system="off"), url=url, wire=wire).relayed is None


@pytest.mark.parametrize(
    ("model", "folded"),
    [("glm-4.6", True), ("z-ai/glm-5", True), ("glm-5.1", False), ("glm-5.1-air", False), ("glm-6", False),
     ("ernie-4.5-turbo", True), ("gpt-5", False), ("glm", True)],
)  # fmt: skip
def test_system_is_folded_for_the_models_that_do_not_heed_it(model: str, folded: bool) -> None:
    assert takes_no_system(model) is folded


def test_textual_thoughts_are_expected_of_known_models_only() -> None:
    assert thinks_in_tags("deepseek-r1-distill-llama-70b")
    assert effective(model="DeepSeek-R1").answer == AnswerRules(think_tags=True)
    assert effective(model="gpt-5").answer is None
    assert effective(Rules(think_tags="off"), model="qwq-32b").answer is None


def test_by_default_a_relayed_body_is_touched_only_for_the_developer_role() -> None:
    found = effective()
    assert found.touch(b'{"messages":[{"role":"developer","content":"x"}]}')
    assert not found.touch(b'{"messages":[{"role":"system","content":"x"}]}')
    assert effective(wire=WireFormat.ANTHROPIC_MESSAGES).relayed is None


@pytest.mark.parametrize(
    "rules", [Rules(clamp="on"), Rules(prompt_suffix="x"), Rules(thinking=ThinkingRule(mode="adaptive"))]
)
def test_what_may_change_any_body_is_always_asked(rules: Rules) -> None:
    assert effective(rules).touch(b"{}")


def test_a_model_that_does_not_reason_loses_parameters_on_it_and_no_other() -> None:
    found = effective(reasons=False)
    assert found.relayed is not None
    assert found.relayed.strip_thinking
    assert found.touch(b'{"reasoning_effort":"high"}')
    assert not found.touch(b'{"messages":[]}')
    assert not found.touch(b'{"temperature":1}')


def test_a_client_refuses_the_prompt_only_where_it_may() -> None:
    rules = Rules(prompt_prefix="Be kind.")
    assert without_prompt(effective(rules)) == effective(rules)
    bare = without_prompt(effective(rules, Rules(prompt_skippable=True)))
    assert bare.grows == 0
    assert bare.triggers == effective().triggers
    assert msgspec.structs.replace(bare, skippable=False) == effective()
