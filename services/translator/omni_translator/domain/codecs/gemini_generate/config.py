"""``generationConfig``, both ways."""

from typing import Final

from omni_translator.domain.codecs.gemini_generate.schema import to_gemini
from omni_translator.domain.codecs.gemini_generate.schema_back import from_gemini
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields
from omni_translator.domain.dialects import takes_json_schema
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, OutputFormat, Sampling, Thinking

_MAX_STOPS: Final = 5
_JSON: Final = "application/json"
# What ``responseJsonSchema`` heeds (ai.google.dev/api/generate-content, GenerationConfig, read 2026-11-22).
_HEEDED: Final = frozenset(
    {
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)
_NOTES: Final = frozenset({"$schema", "$comment", "definitions", "default", "examples"})
_MAX_LEVELS: Final = 64


# ---- reading --------------------------------------------------------------------------------------------------------


def read_sampling(config: ProtoFields) -> Sampling:
    return Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.whole("topK"),
        seed=config.whole("seed"),
        presence_penalty=config.number("presencePenalty") or None,
        frequency_penalty=config.number("frequencyPenalty") or None,
        stop=config.texts("stopSequences", lone=True),
    )


def read_output_format(config: ProtoFields) -> OutputFormat | None:
    mime = config.peek("responseMimeType")
    if mime == "text/plain":
        config.take("responseMimeType")
    if mime != _JSON:
        return None
    config.take("responseMimeType")
    schema = read_schema(config, "responseJsonSchema", "responseSchema")
    if schema is None:
        return OutputFormat(kind="json_object")
    return OutputFormat(kind="json_schema", schema=schema, strict=True)


def read_schema(holder: ProtoFields, verbatim: str, narrow: str) -> Json | None:
    """The schema under one of two keys, as JSON Schema. Raises ``WireError`` when both are given, as Google does."""
    whole, subset = holder.plain(verbatim), holder.plain(narrow)
    if whole is not None and subset is not None:
        raise holder.wrong(narrow, f"left out beside {verbatim}")
    return from_gemini(subset) if subset is not None else whole


def read_thinking(config: ProtoFields) -> Thinking | None:
    """A level is an effort; a budget of 0 switches thinking off, and -1 leaves it to the model."""
    thinking = config.child("thinkingConfig")
    if thinking is None:
        return None
    level, budget = thinking.text("thinkingLevel") or "", thinking.whole("thinkingBudget")
    effort = "" if level == "THINKING_LEVEL_UNSPECIFIED" else level.lower()
    summary = "auto" if thinking.flag("includeThoughts") else ""
    mode = ""
    if budget is not None:
        mode = "disabled" if budget == 0 else "enabled" if budget > 0 else "adaptive"
    if not effort and not mode and not summary:
        return None
    return Thinking(effort=effort, mode=mode, budget=budget if mode == "enabled" else None, summary=summary)


# ---- writing --------------------------------------------------------------------------------------------------------


def write_sampling(conversation: Conversation, config: Json, losses: Losses) -> None:
    sampling = conversation.sampling
    for key, value in (
        ("temperature", sampling.temperature),
        ("topP", sampling.top_p),
        ("topK", sampling.top_k),
        ("seed", sampling.seed),
        ("presencePenalty", sampling.presence_penalty),
        ("frequencyPenalty", sampling.frequency_penalty),
    ):
        if value is not None:
            config[key] = value
    stops = list(sampling.stop)
    if conversation.origin is not HOME:
        stops = [stop for stop in stops if stop]
        if len(stops) > _MAX_STOPS:
            losses.approximated("stop", f"Gemini takes at most {_MAX_STOPS}")
            stops = stops[:_MAX_STOPS]
    if stops:
        config["stopSequences"] = stops


def write_output_format(conversation: Conversation, config: Json, verbatim: bool | None, losses: Losses) -> None:
    form = conversation.output_format
    if form is None:
        return
    config["responseMimeType"] = _JSON
    if conversation.origin is not HOME:
        if form.name:
            losses.dropped("response_format.json_schema.name")
        if form.description:
            losses.dropped("response_format.json_schema.description")
        if form.kind == "json_schema" and not form.strict:
            losses.approximated("response_format.json_schema.strict", "Gemini always keeps to the schema")
    if form.schema is None:
        if form.kind == "json_schema":
            losses.approximated("response_format", "a schema was announced and not given; any JSON is asked for")
        return
    key, schema = choose_schema(form.schema, conversation, verbatim, losses, "response_format.json_schema.schema")
    config["responseJsonSchema" if key else "responseSchema"] = schema
    if key and conversation.origin is not HOME:
        for word in sorted(_unheeded(schema)):
            losses.approximated(f"response_format.json_schema.schema.{word}", "Gemini reads it and does not enforce it")


def choose_schema(
    schema: Json, conversation: Conversation, verbatim: bool | None, losses: Losses, path: str
) -> tuple[bool, Json]:
    """A schema as it is sent, and whether that is JSON Schema verbatim rather than Gemini's subset.

    ``verbatim`` decides; None leaves it to the model's name (``dialects.takes_json_schema`` has the facts): verbatim
    loses nothing, and the subset is what every model and every door to Gemini knows. A request that came in this very
    format keeps the subset where that says the same.
    """
    if conversation.origin is HOME:
        own = Losses("Gemini")
        narrowed = to_gemini(schema, own, path)
        exact = not own.all() and from_gemini(narrowed) == schema
        return (False, narrowed) if exact else (True, schema)
    if takes_json_schema(conversation.model) if verbatim is None else verbatim:
        return True, schema
    return False, to_gemini(schema, losses, path)


def _unheeded(schema: object, levels: int = _MAX_LEVELS) -> set[str]:
    """The keywords of a schema that ``responseJsonSchema`` does not enforce."""
    if not isinstance(schema, dict) or levels == 0:
        return set()
    found = {key for key in schema if key not in _HEEDED and key not in _NOTES}
    for key in ("properties", "$defs", "definitions"):
        members = schema.get(key)
        for member in members.values() if isinstance(members, dict) else ():
            found |= _unheeded(member, levels - 1)
    for key in ("anyOf", "oneOf", "prefixItems"):
        branches = schema.get(key)
        for branch in branches if isinstance(branches, list) else ():
            found |= _unheeded(branch, levels - 1)
    for key in ("items", "additionalProperties"):
        found |= _unheeded(schema.get(key), levels - 1)
    return found
