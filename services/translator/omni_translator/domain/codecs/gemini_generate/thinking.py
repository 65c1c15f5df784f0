"""How much to think, in Gemini's words.

Facts (ai.google.dev/gemini-api/docs/thinking and docs.cloud.google.com, read 2026-11-22): Gemini 3 and later take a
``thinkingLevel``, Gemini 2.5 a ``thinkingBudget`` in tokens within a model's own bounds, older ones neither; both at
once is a 400. Budgets by effort are Gemini CLI's. ``includeThoughts`` must be asked for, or no thought is told.
"""

from typing import Final

from omni_catalogue.dialects import gemini_version

from omni_translator.domain.codecs.gemini_generate.spelling import HOME
from omni_translator.domain.dialects import thinking_budgets, thinking_levels, thinks_by_level
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, Thinking

_BUDGETS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 32768, "xhigh": 32768, "max": 32768}
_RANKS: Final = ("minimal", "low", "medium", "high")
_FIRST_THINKER: Final = (2, 5)


def write_thinking(conversation: Conversation, config: Json, losses: Losses) -> None:
    wish = conversation.thinking
    if wish is None:
        return
    if conversation.origin is HOME:
        written = _home(wish)
    elif gemini_version(conversation.model) < _FIRST_THINKER:
        field = "thinking" if wish.mode or not wish.effort else "reasoning_effort"
        losses.dropped(field, "this model takes no word on thinking")
        return
    elif thinks_by_level(conversation.model):
        written = _level(wish, conversation.model, losses)
    else:
        written = _budget(wish, conversation.model, losses)
    if written:
        config["thinkingConfig"] = written


def _home(wish: Thinking) -> Json:
    out: Json = {}
    if wish.effort:
        out["thinkingLevel"] = wish.effort.upper()
    if wish.mode:
        out["thinkingBudget"] = {"disabled": 0, "adaptive": -1}.get(wish.mode, wish.budget or 0)
    if wish.summary:
        out["includeThoughts"] = True
    return out


def _off(wish: Thinking) -> bool:
    return wish.mode == "disabled" or (wish.effort == "none" and not wish.mode)


def _shown(wish: Thinking, losses: Losses) -> Json:
    if wish.summary and wish.summary != "auto":
        losses.approximated("reasoning.summary", "Gemini has one length of summary")
    return {"includeThoughts": True}


def _level(wish: Thinking, model: str, losses: Losses) -> Json:
    levels = thinking_levels(model)
    if _off(wish):
        losses.approximated("thinking", f"this model always thinks; sent as level {levels[0]}")
        return {"thinkingLevel": levels[0].upper()}
    out = _shown(wish, losses)
    if wish.effort:
        rank = _RANKS.index(wish.effort) if wish.effort in _RANKS else len(_RANKS) - 1
        level = next((name for name in levels if _RANKS.index(name) >= rank), levels[-1])
        if level != wish.effort or wish.mode:
            losses.approximated("reasoning_effort", f"sent as level {level}")
    elif wish.mode == "enabled":
        budget = wish.budget or 0
        level = "low" if budget <= 1024 else "medium" if budget <= 10240 and "medium" in levels else "high"
        losses.approximated("thinking.budget_tokens", f"sent as level {level}")
    else:
        if wish.mode:
            losses.approximated("thinking.type", "this model thinks as much as it sees fit by itself")
        return out
    return {"thinkingLevel": level.upper()} | out


def _budget(wish: Thinking, model: str, losses: Losses) -> Json:
    low, high = thinking_budgets(model)
    if _off(wish):
        budget = 128 if low == 128 else 0
        if budget or not wish.mode:
            losses.approximated("thinking", f"sent as a budget of {budget} tokens")
        return {"thinkingBudget": budget}
    out = _shown(wish, losses)
    if wish.effort:
        budget = min(max(_BUDGETS.get(wish.effort, _BUDGETS["high"]), low), high)
        losses.approximated("reasoning_effort", f"sent as a budget of {budget} tokens")
    elif wish.mode == "enabled":
        budget = min(max(wish.budget or 0, low), high)
        if budget != wish.budget:
            losses.approximated("thinking.budget_tokens", f"this model takes {low} to {high}")
    elif wish.mode:
        budget = -1
    else:
        return out
    return {"thinkingBudget": budget} | out
