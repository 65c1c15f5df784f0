"""The files beside this one, read once and checked, and what an operator says instead of them."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from omni_catalogue.logins.shapes import FLOWS, Login

_RENEWALS = ("refresh", "follow", "never")
_BODIES = ("form", "json")


class LoginDataError(ValueError):
    """A login's data that does not fit; says which and why."""


def _read() -> dict[str, Login]:
    folder = resources.files("omni_catalogue.logins")
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    found = [_login(tomllib.loads(text), name) for name, text in sorted(texts.items())]
    return {login.id: login for login in found}


def _login(document: Mapping[str, Any], where: str) -> Login:
    try:
        login = msgspec.convert(document, Login)
    except msgspec.ValidationError as error:
        raise LoginDataError(f"{where}: {error}") from None
    if why := _misfit(login):
        raise LoginDataError(f"{where}: {why}")
    return login


def _misfit(login: Login) -> str:
    """What of it does not go together; "" for nothing."""
    if not login.flows or not set(login.flows) <= set(FLOWS):
        return f"flows: must be some of {', '.join(FLOWS)}"
    if "code" in login.flows and (login.authorize is None or login.token is None):
        return "flows: a code needs authorize and token"
    if "device" in login.flows and (login.device is None or (login.token is None and not login.dialect)):
        return "flows: device needs device and token"
    if login.renewal not in _RENEWALS:
        return f"renewal: must be one of {', '.join(_RENEWALS)}"
    if login.renewal == "refresh" and login.renews is None:
        return "renewal: to refresh there must be an address for it"
    bodies = [each.body for each in (login.token, login.refresh, login.device) if each is not None]
    if not set(bodies) <= set(_BODIES):
        return f"body: must be one of {', '.join(_BODIES)}"
    return ""


def override(logins: Mapping[str, Login], document: Mapping[str, Any], where: str) -> dict[str, Login]:
    """With what ``document`` says of some: a table a login, whose words stand for those of its file. Raises
    ``LoginDataError``."""
    found = dict(logins)
    for name, said in document.items():
        if name not in found or not isinstance(said, dict):
            raise LoginDataError(f"{where}: there is no login '{name}'; they are {', '.join(sorted(found))}")
        found[name] = _login(_over(msgspec.to_builtins(found[name]), said), f"{where}: {name}")
    return found


def _over(wider: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(wider) if isinstance(wider, dict) else {}
    for key, value in said.items():
        merged[key] = _over(merged.get(key), value) if isinstance(value, dict) else value
    return merged


LOGINS: Mapping[str, Login] = _read()
# Every name of a login, its id's among them, with the id.
NAMES: Mapping[str, str] = {name: login.id for login in LOGINS.values() for name in (login.id, *login.aka)}
