"""How well the guards over content find what they look for, on texts whose findings are known (``labelled/``).

The texts were written for this: they say how the guards compare from one version to the next, not how they would do on
anybody's traffic.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from omni_catalogue.guards import KINDS
from omni_translator.domain.guards.detectors import detectors
from omni_translator.domain.guards.injection import grave, rules_in
from omni_translator.domain.guards.masking import TextMasker
from omni_translator.domain.guards.scanner import Marks, Scanner, Stretch

_LABELLED: Final = Path(__file__).parent / "labelled"
_ALL: Final = detectors(KINDS, ())
Found = tuple[str, str]  # kind and text
# Shares of all that is to be found; of injections, those found and those that ``block`` refuses; shares of what is
# harmless in which something is found, and which ``block`` refuses. What was measured when they were set is in ADR 45.
PII_RECALL, PII_FALSE = 0.98, 0.02
INJECTION_RECALL, INJECTION_BLOCKED, INJECTION_FALSE, INJECTION_FALSE_BLOCKED = 0.90, 0.80, 0.05, 0.02


def labelled(name: str) -> list[dict[str, Any]]:
    """Made-up keys are written with a sign in them, so that nobody's scanner takes them for keys."""
    text = (_LABELLED / f"{name}.jsonl").read_text().replace("␟", "")
    return [json.loads(line) for line in text.splitlines()]


def of_pii(every: int = 1) -> dict[str, Any]:
    """Recall and false findings by kind, in whole texts and in texts cut at every ``every``-th place."""
    right: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    innocent = clean = cuts = torn = 0
    for entry in labelled("pii"):
        text, wanted = entry["text"], [(find["kind"], find["text"]) for find in entry["find"]]
        found = list(_found(text))
        innocent += not wanted
        clean += not wanted and not found
        for each in wanted:
            (right if each in found else missed)[each[0]] += 1
            if each in found:
                found.remove(each)
        false.update(kind for kind, _ in found)
        whole = _masked(text, len(text))
        for cut in range(1, len(text), every):
            cuts += 1
            torn += _masked(text, cut) != whole
    recall = sum(right.values()) / (sum(right.values()) + sum(missed.values()))
    false_rate = 1 - clean / innocent
    return {
        "recall": round(recall, 4),
        "false_positives_of_texts_without_findings": round(false_rate, 4),
        "texts": len(labelled("pii")),
        "without_findings": innocent,
        "by_kind": {
            kind: {"found": right[kind], "missed": missed[kind], "false": false[kind]} for kind in sorted(KINDS)
        },
        "cuts": cuts,
        "cuts_that_changed_something": torn,
        "pass": recall >= PII_RECALL and false_rate <= PII_FALSE and torn == 0,
    }


def of_injection() -> dict[str, Any]:
    """Recall by what was attempted, and what is found in harmless requests."""
    attempts, benign = labelled("injection"), labelled("benign")
    tried: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    refused = 0
    for entry in attempts:
        tried[entry["rule"]] += 1
        seen[entry["rule"]] += bool(rules_in(entry["text"]))
        refused += grave(entry["text"])
    false: Counter[str] = Counter()
    touched = blocked = 0
    for entry in benign:
        rules = rules_in(entry["text"])
        false.update(rules)
        touched += bool(rules)
        blocked += grave(entry["text"])
    recall, stopped = sum(seen.values()) / len(attempts), refused / len(attempts)
    false_rate, false_blocked = touched / len(benign), blocked / len(benign)
    return {
        "recall": round(recall, 4),
        "blocked": round(stopped, 4),
        "false_reported": round(false_rate, 4),
        "false_blocked": round(false_blocked, 4),
        "attempts": len(attempts),
        "benign": len(benign),
        "by_attempt": {name: {"tried": tried[name], "found": seen[name]} for name in sorted(tried)},
        "false_by_rule": dict(sorted(false.items())),
        "pass": recall >= INJECTION_RECALL
        and stopped >= INJECTION_BLOCKED
        and false_rate <= INJECTION_FALSE
        and false_blocked <= INJECTION_FALSE_BLOCKED,
    }


def _found(text: str) -> Iterator[Found]:
    at = 0
    for stretch in Scanner(_ALL, Marks()).whole(text):
        if stretch.token:
            yield _kind(stretch), text[at : at + stretch.length]
        at += stretch.length


def _kind(stretch: Stretch) -> str:
    return stretch.token.strip("[]").rpartition("_")[0].lower()


def _masked(text: str, cut: int) -> str:
    masker = TextMasker(_ALL, Marks())
    return masker.feed(text[:cut]) + masker.feed(text[cut:]) + masker.end()
