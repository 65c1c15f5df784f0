"""The product's own rules as one place of the configuration says them."""

from omni_catalogue.rules import Rules, ThinkingRule

from omni_auth.domain.sections.rules import RulesSection


def compile_rules(section: RulesSection) -> Rules:
    """What a place leaves out stays None, so that a wider one is heard."""
    prompt, thinking = section.system_prompt, section.thinking
    said = {name: value for name, value in section if name not in ("system_prompt", "thinking")}
    return Rules(
        **said,
        thinking=ThinkingRule(mode=thinking.mode, budget=thinking.budget or 0, effort=thinking.effort or "")
        if thinking is not None
        else None,
        prompt_prefix=prompt.prefix if prompt is not None else None,
        prompt_suffix=prompt.suffix if prompt is not None else None,
        prompt_skippable=prompt.skippable if prompt is not None else None,
    )
