"""The rules of one key that no file has: read as a file's are written, and written so that they can be read again."""

from typing import Any

import msgspec
from omni_catalogue.rules import KEEP_ALIVE_OFF, Rules
from omni_wire.errors import InvalidRequest

from omni_auth.domain import document
from omni_auth.domain.compiled_rules import compile_rules
from omni_auth.domain.problems import dotted
from omni_auth.domain.schema import validate

MAX_CHARACTERS = 16_384
# Rules that stand deeper in a file than here, and where.
_PLACES: dict[str, tuple[str, ...]] = {
    "prompt_prefix": ("system_prompt", "prefix"),
    "prompt_suffix": ("system_prompt", "suffix"),
    "prompt_skippable": ("system_prompt", "skippable"),
    "pii_request": ("guards", "pii", "request"),
    "pii_answer": ("guards", "pii", "answer"),
    "pii_kinds": ("guards", "pii", "kinds"),
    "pii_patterns": ("guards", "pii", "patterns"),
    "pii_restore": ("guards", "pii", "restore"),
    "injection": ("guards", "injection", "mode"),
    "injection_rules": ("guards", "injection", "rules"),
}


def read(text: str) -> Rules:
    """What YAML (or JSON) says of rules. Raises ``InvalidRequest`` with all that is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(f"rules: must have at most {MAX_CHARACTERS} characters", param="rules")
    found = document.read(text)
    config, problems = validate({"rules": found.tree}) if not found.problems else (None, found.problems)
    if config is None:
        told = "; ".join(f"{dotted(problem.loc) or 'rules'}: {problem.message}" for problem in problems)
        raise InvalidRequest(told, param="rules")
    return compile_rules(config.rules)


def written(rules: Rules) -> str:
    """One line of JSON, empty where nothing is said."""
    said: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(rules).items():
        if value is None:
            continue
        if name in _PLACES:
            *outer, last = _PLACES[name]
            place = said
            for key in outer:
                place = place.setdefault(key, {})
            place[last] = value
        elif name == "thinking":
            given = {key: item for key, item in msgspec.structs.asdict(value).items() if item}
            if value.mode == "custom" and not value.effort:
                given["budget"] = value.budget  # which may be 0
            said[name] = value.mode if len(given) == 1 else given
        else:
            said[name] = "off" if name == "keep_alive" and value == KEEP_ALIVE_OFF else value
    return msgspec.json.encode(said).decode() if said else ""
