"""Logins in figures: every flow from its beginning to a credential, kills at each step of a renewal, ten who renew."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from omni_auth.adapters.login_catalogue import OVERRIDES
from omni_auth.settings import AuthSettings
from omni_core.ports.configuration import ANYBODY
from omni_core.ports.logins import LoginInfo, NewLogin
from omni_wire.errors import CredentialUnavailable

from tests.support import authorization
from tests.support.authorization import Provider
from tests.support.killed_login import STEPS
from tests.support.logins import Logins, open_logins

_SETTINGS = AuthSettings(login_lease=1.5, login_ask=1.0, login_patience=30, login_refused_patience=30, login_retry=0)
_HANG = 60.0


async def every_flow(home: Path, seed: int) -> dict[str, Any]:
    """Each ends in a credential that its provider takes."""
    flows: dict[str, Callable[[Logins, Provider], Awaitable[LoginInfo]]] = {
        "code on this machine": lambda house, provider: _by_code(house, provider, "codex"),
        "code#state, pasted": lambda house, provider: _by_code(house, provider, "claude-code"),
        "code, then a project": lambda house, provider: _by_code(house, provider, "gemini-cli"),
        "device": lambda house, provider: _by_device(house, provider, "qwen"),
        "device, then a second token": lambda house, provider: _by_device(house, provider, "copilot"),
        "import": _by_import,
    }
    good: list[str] = []
    for number, (name, flow) in enumerate(flows.items()):
        folder = home / f"flow-{number}"
        folder.mkdir()
        with authorization.provider() as provider:
            house = open_logins(folder, provider.overrides(), _SETTINGS)
            info = await flow(house, provider)
            credential = await house.renewing.credential(info.id)
            if provider.oauth.is_live(credential.usage_secret or credential.secret):
                good.append(name)
            house.close()
    return {"flows": len(flows), "good": good, "pass": len(good) == len(flows)}


async def killed_at_each_step(home: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Whatever was killed when, the next one has tokens that are good, where the provider forgives; where it does not,
    the login is closed, and nothing but that."""
    lost = 0
    told = 0
    for number in range(rounds):
        for step in STEPS:
            folder = home / f"kill-{number}-{step}"
            folder.mkdir()
            with authorization.provider() as provider:
                house = open_logins(folder, provider.overrides(), _SETTINGS)
                info = await _by_code(house, provider, "codex")
                await asyncio.to_thread(_kill, folder, info.id, step, provider)
                renewed = await house.renewing.renew(info.id)
                lost += not (renewed.tokens and provider.oauth.is_live(renewed.tokens.access))
                provider.oauth.grace = 0.0
                await asyncio.to_thread(_kill, folder, info.id, "answered", provider)
                try:
                    await house.renewing.renew(info.id)
                except CredentialUnavailable as error:
                    told += "omniroute login codex" in error.message
                house.close()
    kills = 2 * rounds * len(STEPS)
    return {
        "kills": kills,
        "lost_with_grace": lost,
        "told_without_grace": told,
        "pass": not lost and told == rounds * len(STEPS),
    }


async def ten_who_renew(home: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Ten processes' worth of holders on one store, all refused at once: one renewal a round."""
    with authorization.provider() as provider:
        houses = [open_logins(home, provider.overrides(), _SETTINGS) for _ in range(10)]
        info = await _by_code(houses[0], provider, "codex")
        different = 0
        for _ in range(rounds):
            seen = (await houses[0].renewing.credential(info.id)).version
            for house in houses:
                house.renewing.forget(info.id)
            fresh = await asyncio.gather(*(house.renewing.refused(info.id, seen) for house in houses))
            different += len({one.secret for one in fresh}) != 1
        renewals = provider.oauth.seen["refresh_token"]
        for house in houses:
            house.close()
    return {
        "rounds": rounds,
        "renewals": renewals,
        "rounds_with_two_answers": different,
        "pass": renewals == rounds and not different,
    }


async def _by_code(house: Logins, provider: Provider, kind: str) -> LoginInfo:
    started = await house.flows.begin(ANYBODY, NewLogin(kind, accept_terms=kind))
    callback = provider.browse(started.url)
    if kind == "claude-code":
        query = callback.partition("?")[2]
        said = dict(pair.split("=", 1) for pair in query.split("&"))
        callback = f"{said['code']}#{said['state']}"
    return await house.flows.finish(ANYBODY, callback)


async def _by_device(house: Logins, provider: Provider, kind: str) -> LoginInfo:
    started = await house.flows.begin(ANYBODY, NewLogin(kind, account="main", accept_terms=kind))
    provider.oauth.approve(started.user_code)
    async with asyncio.timeout(_HANG):
        while True:
            found = await house.flows.poll(ANYBODY, started.id)
            if found.login is not None:
                return found.login
            await asyncio.sleep(found.wait)


async def _by_import(house: Logins, provider: Provider) -> LoginInfo:
    await _by_code(house, provider, "codex")
    said = provider.oauth.tokens[-1].said
    names = ("access_token", "refresh_token", "id_token")
    file = '{"tokens": {' + ", ".join(f'"{name}": "{said[name]}"' for name in names) + "}}"
    return await house.flows.take_in(ANYBODY, NewLogin("codex", accept_terms="codex"), file)


def _kill(folder: Path, login_id: str, step: str, provider: Provider) -> None:
    env = {**os.environ, OVERRIDES: str(folder / "logins.toml")}
    before = provider.oauth.seen["refresh_token"]
    command = [sys.executable, "-m", "tests.support.killed_login", str(folder), login_id, step]
    if step == "asked":
        provider.oauth.hold.clear()
    with subprocess.Popen(command, env=env) as child:
        if step == "asked":
            provider.oauth.until_asked(before, _HANG)
            child.kill()
            provider.oauth.hold.set()
        code = child.wait(_HANG)
        if code != -9:
            raise RuntimeError(f"the process that was to be killed at {step} ended with {code}")
