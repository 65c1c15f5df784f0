"""Nobody learns by the clock who may log in: an unknown name, a wrong password and a disabled login take as long."""

import os
import random
import time
from pathlib import Path
from typing import Any

from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.domain import throttle
from omni_auth.people import PeopleService
from omni_core.ids import new_id
from omni_core.ports.configuration import Caller
from omni_core.ports.people import LogIn, Origin
from omni_wire.errors import Unauthenticated

from tests.security.welch import THRESHOLD, cropped, welch

KINDS = ("wrong", "unknown", "disabled")
CALLER = Caller("t", "default")


async def of_every_kind(home: Path, count: int, seed: int, kib: int = 0) -> dict[str, Any]:
    """``count`` log-ins of each kind, in a random order; ``kib`` is what hashing takes, 0 for what it does take."""
    chance, now = random.Random(seed), int(time.time() * 1000)
    store, passwords = SqlStore(home), Argon2(kib=kib, passes=1) if kib else Argon2()
    store.open()
    people = PeopleService(SqlPeople(store.database), passwords, now=lambda: now, chance=os.urandom, mint=new_id)
    try:
        for name in ("wrong", "disabled"):
            made = await people.invite(CALLER, name, "viewer")
            opened = await people.redeem(Origin(), made.token, "", "a horse and a staple")
            await people.change_person(CALLER, opened.who.person.id, disabled=name == "disabled")
        tries = [*KINDS * count]
        chance.shuffle(tries)
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for kind in (*KINDS, *tries):
            now += throttle.FORGOTTEN  # whoever guesses waits; what is measured is the answer
            password = "a horse and a staple" if kind == "disabled" else "another sentence"
            began = time.perf_counter_ns()
            try:
                await people.log_in(Origin("192.0.2.1"), LogIn("default", kind, password))
            except Unauthenticated:
                times[kind].append(time.perf_counter_ns() - began)
            else:
                raise AssertionError(f"{kind} was let in")
    finally:
        people.close()
        store.close()
    figures: dict[str, Any] = {"samples": count}
    for kind in KINDS[1:]:
        figures[f"t_{kind}"] = round(cropped(times["wrong"], times[kind]), 2)
        figures[f"t_{kind}_uncropped"] = round(welch(times["wrong"], times[kind]), 2)
    figures |= {f"median_ms_{kind}": round(sorted(times[kind])[count // 2] / 1e6, 2) for kind in KINDS}
    figures["pass"] = all(abs(figures[f"t_{kind}"]) < THRESHOLD for kind in KINDS[1:])
    return figures
