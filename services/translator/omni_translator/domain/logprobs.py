"""How likely each token was: what a request asks, and what an answer tells, from one format's words to another's.

They stand in ``extra``: a request's as they came, an answer's under ``logprobs`` of the text they are of, or, from
Gemini, with the candidate. Whoever writes another format takes them out of a copy of it here; what is left is declared
as everything unknown is. Tokens are in OpenAI's form, which Chat and Responses share:
``{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}``.

Sources: OpenAI's reference of Chat (``logprobs``, ``top_logprobs``) and of Responses (``include``, ``top_logprobs``),
ai.google.dev/api/generate-content (``responseLogprobs``, ``logprobs``, ``LogprobsResult``); read 2026-11-28.
"""

from typing import Any, Final

from omni_wire.formats import WireFormat

from omni_translator.domain.model import Json, Opaque, Part, Text

INCLUDE: Final = "message.output_text.logprobs"
_KEY: Final = "logprobs"


# ---- requests -------------------------------------------------------------------------------------------------------


def take_wish(extra: Json, origin: WireFormat) -> int | None:
    """The number of alternatives wanted for each token, 0 for none beside itself; None where nothing is asked.

    What says so is taken out of ``extra``, a request's, where that is all it says.
    """
    if origin is WireFormat.OPENAI_CHAT:
        return _number(extra, "top_logprobs") if extra.get(_KEY) is True and extra.pop(_KEY) else None
    if origin is WireFormat.OPENAI_RESPONSES:
        include = extra.get("include")
        if not isinstance(include, list) or INCLUDE not in include:
            return None
        extra["include"] = [name for name in include if name != INCLUDE]
        return _number(extra, "top_logprobs")
    config = extra.get("generationConfig")
    if origin is not WireFormat.GEMINI_GENERATE or not isinstance(config, dict):
        return None
    if config.get("responseLogprobs") is not True:
        return None
    config = dict(config)
    del config["responseLogprobs"]
    wanted = _number(config, _KEY)
    extra["generationConfig"] = config
    return wanted


def _number(holder: Json, key: str) -> int:
    value = holder.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return 0
    del holder[key]
    return value


# ---- answers --------------------------------------------------------------------------------------------------------


def take_told(extra: Json, origin: WireFormat) -> tuple[list[Json], Json]:
    """The tokens that the ``extra`` of a whole answer tells, which is Gemini's way, and the rest of it."""
    candidates = extra.get("candidates") if origin is WireFormat.GEMINI_GENERATE else None
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    told = first.get("logprobsResult") if isinstance(first, dict) else None
    if not isinstance(candidates, list) or not isinstance(first, dict) or not isinstance(told, dict):
        return [], extra
    if not are_tokens(told.get("chosenCandidates")):
        return [], extra
    left = {name: value for name, value in first.items() if name != "logprobsResult"}
    return _from_gemini(told), extra | {"candidates": [left, *candidates[1:]]}


def take_from_part(part: Part, extra: Json | None = None) -> tuple[list[Json], Json]:
    """The tokens of a text, and the rest of what is not known of it: ``extra``, or else the part's own."""
    held: Json = {} if isinstance(part, Opaque) else part.extra
    held = held if extra is None else extra
    tokens = held.get(_KEY)
    if not isinstance(part, Text) or not isinstance(tokens, list) or not are_tokens(tokens):
        return [], held
    return tokens, {key: value for key, value in held.items() if key != _KEY}


def are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _from_gemini(told: Json) -> list[Json]:
    top = told.get("topCandidates")
    rows = top if isinstance(top, list) else []
    tokens = []
    for at, chosen in enumerate(told["chosenCandidates"]):
        row = rows[at].get("candidates") if at < len(rows) and isinstance(rows[at], dict) else None
        others = [_token(other) for other in row if isinstance(other, dict)] if isinstance(row, list) else []
        tokens.append(_token(chosen) | {"top_logprobs": others})
    return tokens


def _token(candidate: Json) -> Json:
    token = candidate.get("token")
    text = token if isinstance(token, str) else ""
    value = candidate.get("logProbability")
    said = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return {"token": text, "logprob": said, "bytes": list(text.encode("utf-8", "replace"))}


def to_gemini(tokens: list[Json]) -> Json:
    """``logprobsResult``."""
    rows = [token.get("top_logprobs") for token in tokens]
    return {
        "chosenCandidates": [_candidate(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_candidate(other) for other in row if isinstance(other, dict)]}
            for row in rows
            if isinstance(row, list)
        ],
    }


def _candidate(token: Json) -> Json:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
