"""The product's own rules as one place of the configuration says them."""

from omni_catalogue.rules import Rules, ThinkingRule

from omni_auth.domain.sections.rules import RulesSection


def compile_rules(section: RulesSection) -> Rules:
    """What a place leaves out stays None, so that a wider one is heard."""
    prompt, thinking = section.system_prompt, section.thinking
    said = {name: value for name, value in section if name not in ("system_prompt", "thinking", "guards")}
    guards = section.guards
    pii = guards.pii if guards is not None else None
    injection = guards.injection if guards is not None else None
    return Rules(
        **said,
        thinking=ThinkingRule(mode=thinking.mode, budget=thinking.budget or 0, effort=thinking.effort or "")
        if thinking is not None
        else None,
        prompt_prefix=prompt.prefix if prompt is not None else None,
        prompt_suffix=prompt.suffix if prompt is not None else None,
        prompt_skippable=prompt.skippable if prompt is not None else None,
        pii_request=pii.request if pii is not None else None,
        pii_answer=pii.answer if pii is not None else None,
        pii_kinds=pii.kinds if pii is not None else None,
        pii_patterns=pii.patterns if pii is not None else None,
        pii_restore=pii.restore if pii is not None else None,
        injection=injection.mode if injection is not None else None,
        injection_rules=injection.rules if injection is not None else None,
    )
