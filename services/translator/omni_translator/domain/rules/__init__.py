"""The product's own rules on what passes through: on requests before they are encoded, on answers as they come.

Each rule is one function or machine over the canonical model, whatever the formats. ``Notes`` tells which rules changed
something: what a client did not ask for is never done unsaid.
"""

import msgspec
from omni_catalogue.rules import RequestRules
from omni_wire.formats import WireFormat

from omni_translator.domain.guards.request import Finding, guard
from omni_translator.domain.guards.scanner import Mark
from omni_translator.domain.losses import Loss, Losses
from omni_translator.domain.model import Conversation
from omni_translator.domain.rules.bounds import clamp
from omni_translator.domain.rules.prompt import inject
from omni_translator.domain.rules.roles import developer_to_system, system_to_user
from omni_translator.domain.rules.thinking import Target, strip, think


class Ruled(msgspec.Struct, frozen=True):
    """A request after its rules: the ``names`` of those that changed it, and what a clamp took away; after its guards,
    also their ``findings``, and the ``marks`` of what is masked."""

    conversation: Conversation
    names: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    findings: tuple[Finding, ...] = ()
    marks: tuple[Mark, ...] = ()


def apply(
    conversation: Conversation, rules: RequestRules, provider_format: WireFormat, model: str, limit: int
) -> Ruled:
    """``model`` is the provider's, ``limit`` the output tokens that it will be given, 0 for no limit."""
    names: list[str] = []
    losses = Losses("this model")

    def step(name: str, changed: Conversation) -> Conversation:
        if changed is not conversation and changed != conversation:
            names.append(name)
            return changed
        return conversation

    if rules.prefix or rules.suffix:
        conversation = step("system_prompt", inject(conversation, rules.prefix, rules.suffix))
    if rules.developer_to_system:
        conversation = step("developer_to_system", developer_to_system(conversation))
    if rules.system_to_user:
        conversation = step("system_to_user", system_to_user(conversation))
    if rules.strip_thinking or rules.thinking.mode == "auto":
        conversation = step("thinking", strip(conversation))
    elif rules.thinking.mode != "passthrough":
        target = Target(provider_format, model, limit or rules.max_output, rules.max_output)
        conversation = step("thinking", think(conversation, rules.thinking, target, losses))
    if rules.clamp:
        conversation = clamp(conversation, rules, provider_format, losses)
    return Ruled(conversation, tuple(names), losses.all())


def guarded(ruled: Ruled, rules: RequestRules | None) -> Ruled:
    """Past the guards: the last step before a request is written, so that nothing comes in behind them. Raises
    ``Refused``."""
    if rules is None or rules.guards is None:
        return ruled
    past = guard(ruled.conversation, rules.guards)
    return msgspec.structs.replace(
        ruled, conversation=past.conversation, findings=past.findings, marks=past.marks
    )  # fmt: skip
