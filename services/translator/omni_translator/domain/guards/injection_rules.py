"""The rules of the guard against injection, as data.

What they are held against is in small letters. A blank stands for one to three blanks or line ends, ``~`` for none to
three, and a word in capitals for one of ``_PARTS``. No repetition is without a bound.
"""

import re
from typing import Final

from omni_catalogue.guards import SEVERITIES

_PARTS: Final = {
    "FORGET": (
        r"(?:ignore|disregard|forget|override|bypass|neglect|dismiss|do not follow|don't follow|stop "
        r"following)"
    ),
    "ALL": r"(?:(?:all|any|every|each|the|your|my|these|those|of|both|everything in) ){0,4}",
    "BEFORE": (
        r"(?:previous|prior|above|earlier|preceding|foregoing|original|initial|existing|current|former|past|"
        r"system|developer|safety|aforementioned|old)"
    ),
    "ORDERS": (
        r"(?:instruction|direction|directive|command|order|rule|guideline|prompt|guidance|policy|policies|"
        r"constraint|restriction|safeguard|guardrail|context|message|training)s?"
    ),
    "YOURS": r"(?:your|the|this|its)",
    "SECRET": (
        r"(?:system (?:prompt|message|instructions?)|initial (?:prompt|instructions?)|hidden (?:prompt|"
        r"instructions?|rules?)|(?:secret|internal|original|developer|confidential|base) (?:instructions?|"
        r"prompt|rules|directives))"
    ),
}

_RULES: Final[tuple[tuple[str, str], ...]] = (
    (
        "system_override",
        r"\bFORGET ALL(?:BEFORE(?: and BEFORE)? ){1,2}ORDERS\b",
    ),
    (
        "system_override",
        r"\bFORGET (?:all|any|every|each|everything) (?:of )?(?:(?:your|the|my|these|those|safety) ){0,2}"
        r"ORDERS\b",
    ),
    (
        "system_override",
        r"\bFORGET (?:everything|anything|all|whatever|what) (?:that )?(?:(?:you (?:were|have been|are|'ve "
        r"been) (?:told|taught|instructed|given|trained))|(?:above|before this|said before|(?:was|were|i|we) "
        r"(?:said|written|told) (?:before|above|earlier)))",
    ),
    (
        "system_override",
        r"\b(?:new|updated|real|actual) (?:system )?(?:instructions?|orders?|directives?|"
        r"objective)~(?:from (?:the )?(?:admin|administrator|developer|system|operator|openai|anthropic)~)?:\s",
    ),
    (
        "system_override",
        r"\byour (?:previous|prior|old|original|initial) (?:instructions?|rules|guidelines|prompt) (?:are|is|"
        r"have been|has been|were) (?:now )?(?:void|null|cancelled|canceled|revoked|superseded|replaced|"
        r"overridden|obsolete|lifted|suspended|no longer)",
    ),
    (
        "system_override",
        r"\b(?:ignoriere|vergiss|missachte) (?:alle|die|deine|s[äa]mtliche) (?:(?:bisherigen|vorherigen|"
        r"obigen|fr[üu]heren|deine) ){0,2}(?:anweisungen|regeln|instruktionen|vorgaben)",
    ),
    (
        "system_override",
        r"\b(?:ignora|olvida|desconsidere|esque[çc]a|ignore|oublie|oubliez|ignorez) (?:todas? |toutes? |tous "
        r")?(?:(?:as|los|las|les|tus|tes|vos|suas) )(?:instrucciones|instru[çc][õo]es|instructions|reglas|"
        r"regras|r[èe]gles|consignes) (?:anteriores|previas|anterieures|ant[ée]rieures|pr[ée]c[ée]dentes|"
        r"acima)",
    ),
    (
        "system_prompt_leak",
        r"\b(?:reveal|show|print|output|repeat|display|tell|give|share|leak|expose|disclose|dump|write(?: "
        r"(?:out|down))?|recite|echo|paste|quote|return|list|summari[sz]e|translate|copy) (?:(?:me|us|out|"
        r"back|to me|verbatim|exactly|word for word|please|the (?:full|entire|exact|complete) text of) ){0,3}"
        r"YOURS (?:(?:full|entire|exact|complete|whole|original|own|current|verbatim) ){0,2}SECRET\b",
    ),
    (
        "system_prompt_leak",
        r"\bwhat (?:is|are|was|were|does|do) your (?:(?:full|exact|entire|original|own|current) ){0,2}SECRET\b",
    ),
    (
        "system_prompt_leak",
        r"\b(?:repeat|print|output|copy|return|write|echo|recite) (?:me |back |out )?(?:everything|all (?:of "
        r")?(?:the )?(?:text|words|content)|the (?:text|words|content|conversation|message)|all) (?:that "
        r"(?:is|are|was) |written )?(?:above|before (?:this|the user))",
    ),
    (
        "delimiter_injection",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|end_header_id|eot_id|"
        r"begin_of_text|end_of_turn|start|message|channel)\|>",
    ),
    (
        "delimiter_injection",
        r"\[/?(?:inst|system|sys)\]|<</?sys>>|</?(?:system|sys|system_prompt|system-prompt|developer)>|"
        r"<start_of_turn>",
    ),
    (
        "delimiter_injection",
        r"(?:^|\n)\s{0,4}(?:#{2,4}\s{0,2}|={3,10}\s{0,2}|-{3,10}\s{0,2})(?:new |end (?:of )?|begin "
        r")?(?:system|admin|developer)(?: (?:prompt|message|instructions?|override|mode))?\s{0,2}(?::|#{2,4}|"
        r"={3,10}|-{3,10}|\n)",
    ),
    (
        "delimiter_injection",
        r"(?:^|\n)\s{0,4}(?:system|developer|assistant)\s{0,2}:\s{1,4}(?:you (?:are|must|will|should|may)|"
        r"ignore|disregard|override|new|from now|the user (?:is|has|may)|all (?:safety|restrictions))",
    ),
    (
        "jailbreak",
        r"\b(?:you are|act as|become|be|play|pretend (?:to be|you are)|enter|enable|activate|switch (?:to|"
        r"into)|you're|as) (?:now )?(?:(?:in|a|an|the|going to act as) ){0,2}(?:dan\b|do anything now|stan\b|"
        r"aim\b \(|evil~bot|god mode|jailbreak(?:ed|en)?\b|unrestricted (?:ai|mode|model|"
        r"assistant|version)|unfiltered (?:ai|mode|model|assistant|version)|uncensored (?:ai|mode|model|"
        r"assistant|version))",
    ),
    (
        "jailbreak",
        r"\bdo anything now\b|\bdan mode\b|\bjailbreak mode\b|\bdeveloper mode (?:is )?(?:now )?(?:enabled|"
        r"activated|output)|\byou are (?:now )?in developer mode\b",
    ),
    (
        "jailbreak",
        r"\b(?:without|no|free (?:of|from)|ignor(?:e|ing)|remove|disable|turn off|drop|bypass|lift) (?:(?:any|"
        r"all|your|the|its|of|more) ){0,3}(?:(?:ethical|moral|safety|content|legal|openai|anthropic|google) "
        r"(?:or (?:ethical|moral|legal) )?){1,2}(?:restrictions?|guidelines?|limits?|limitations?|filters?|"
        r"filtering|polic(?:y|ies)|constraints?|guardrails?|rules|protocols?|checks?)\b",
    ),
    (
        "jailbreak",
        r"\byou (?:have|are under|are bound by|face) no (?:(?:ethical|moral|content|safety) )?(?:restrictions|"
        r"limits|limitations|rules|filters|guidelines|boundaries)\b",
    ),
    (
        "jailbreak",
        r"\b(?:answer|respond|reply|comply) (?:to )?(?:(?:every|all|any|with|everything|my) ){0,3}"
        r"(?:requests?|questions?|prompts?)?~(?:without|and never) (?:ever )?(?:refus(?:e|al|ing)|(?:any "
        r")?(?:censorship|filter(?:s|ing)?|disclaimers? or refusals?|warnings? or refusals?))",
    ),
    (
        "role_hijack",
        r"\b(?:you are now|from now on,? (?:you|act|behave|respond|pretend)|starting now,? you|henceforth,? "
        r"you)\b",
    ),
    (
        "role_hijack",
        r"\b(?:pretend|imagine|act|behave) (?:that |as (?:if|though) )?(?:you (?:are|were|have|had) )(?:not "
        r"an? (?:ai|assistant|language model)|no longer|my (?:deceased|late)|(?:a )?different (?:ai|model|"
        r"assistant)|human\b)",
    ),
    (
        "role_hijack",
        r"\b(?:i am|i'm|this is) (?:(?:your|the|an?) )?(?:(?:openai|anthropic|google|system|new) "
        r")?(?:developer|creator|administrator|admin|operator|engineer|owner)(?: (?:here|speaking))?\s{0,2}"
        r"[,.;:]?~(?:and (?:i )?|so |you (?:must|will|can)|i )(?:authori[sz]e|grant|allow|order|command|obey|"
        r"ignore|override|need you to (?:ignore|bypass)|disable|bypass)",
    ),
    (
        "exfiltration",
        r"\b(?:send|post|forward|upload|exfiltrate|transmit|e-?mail|leak|submit|append|encode|include|embed|"
        r"put) (?:(?:all|any|the|your|this|me|their|its|of|user'?s?|every|entire|full|whole) ){0,5}(?:(?:chat|"
        r"conversation|message) (?:history|log|contents?|transcript|data)|conversation|credentials?|"
        r"passwords?|api~[_-]?keys?|secrets?|access tokens?|environment variables|env vars|private (?:data|"
        r"keys?)|session (?:cookies?|tokens?)|system prompt)[^.\n]{0,80}?(?:https?://|\bto (?:the )?(?:url|"
        r"address|endpoint|server|webhook|attacker|following)|[\w.+-]{1,40}@[\w-]{1,40}\.)",
    ),
    (
        "exfiltration",
        r"!\[[^\]\n]{0,60}\]\(https?://[^)\s]{1,120}(?:\{|<|\[|%7b|=\$|=\.\.\.)",
    ),
    (
        "exfiltration",
        r"\b(?:do not|don't|never|without) (?:(?:ever|please) )?(?:tell|mention|inform|telling|mentioning|"
        r"informing|notify|notifying|alert|reveal|show)\w{0,3} (?:(?:this|it|anything|that|any of this) (?:to "
        r")?)?(?:the |any )(?:user|human|person|operator|owner)\b",
    ),
    (
        "encoding_evasion",
        r"\b(?:decode|decrypt|deobfuscate|unscramble|reverse|rot-?13) (?:(?:the|this|following|it|that|"
        r"message|text|string|base64|base-64|hex|rot-?13|below|encoded|and|then)~[,:;.]?~){1,8}(?:and |then |"
        r",~){1,2}(?:follow|execute|obey|do|comply|carry out|act on|perform|run)\b",
    ),
)


def _compiled(source: str) -> re.Pattern[str]:
    for name, part in _PARTS.items():
        source = re.sub(f"(?<![A-Z]){name}(?![A-Z])", part.replace("\\", r"\\"), source)
    return re.compile(source.replace("~", r"\s{0,3}").replace(" ", r"\s{1,3}"))


RULES: Final = tuple((name, _compiled(source)) for name, source in _RULES if name in SEVERITIES)
