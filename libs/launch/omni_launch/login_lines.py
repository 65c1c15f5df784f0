"""What ``omniroute login`` tells, in lines."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any


def begun(started: Mapping[str, Any]) -> str:
    """What a person does next."""
    if started["flow"] == "device":
        return f"open {started['url']}\nand type {started['user_code']}"
    return f"open {started['url']}"


def shown(login: Mapping[str, Any]) -> Iterator[str]:
    """A login that somebody has just made."""
    whose = f" ({login['label']})" if login["label"] else ""
    yield f"logged in as {login['id']}{whose}"
    if not login["accounts"]:
        name = login["id"].partition("/")[2]
        yield f"an account uses it with: {{name: {name}, login: {login['id']}}}"


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Who is logged in, and where one can be."""
    for login in found["logins"]:
        yield f"{login['id']:<32} {login['label']:<28} {_state(login)}"
    if not found["logins"]:
        yield "nobody is logged in anywhere"
    yield ""
    for kind in found["kinds"]:
        notes = [kind["missing"], kind["note"], "minds it: --accept-risk" if kind["risk"] else ""]
        said = "; ".join(note for note in notes if note)
        yield f"  omniroute login {kind['id']:<14} {kind['title']}{f' ({said})' if said else ''}"


def _state(login: Mapping[str, Any]) -> str:
    if login["state"] != "good":
        return f"{login['state']}: {login['reason']}"
    used = f"for {', '.join(login['accounts'])}" if login["accounts"] else "for no account yet"
    if not login["ends"]:
        return f"good, {used}"
    ends = datetime.fromtimestamp(login["ends"] / 1000, UTC)
    return f"good until {ends:%Y-%m-%d %H:%M} UTC and renewed before, {used}"
