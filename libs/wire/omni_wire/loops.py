"""How a request that comes round to us again is known: by the header that is made for it (RFC 8586), in which every
gateway that sends it on leaves its name."""

HEADER = "cdn-loop"
NAME = "omniroute"
# A gateway of a team before that of the house before another house's: nobody has more on purpose.
MOST = 3
_LONGEST = 1_024  # characters


def passed(value: str) -> int:
    """How many gateways of ours a request has passed, by what its header says. Others' names, and what they say of
    themselves behind a semicolon, count for nothing."""
    return sum(1 for name in value.lower().split(",") if name.partition(";")[0].strip() == NAME)


def onward(value: str) -> str:
    """What the header is to say when the request is sent on. Of one that could not be sent as it is, or is longer than
    anybody's way, our own names are left."""
    if not value.isascii() or not value.isprintable() or len(value) > _LONGEST:
        return ", ".join([NAME] * (passed(value) + 1))
    return f"{value}, {NAME}" if value else NAME
