"""``omniroute up`` and ``omniroute run TARGET``: from flags and environment to a running process."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import uvloop
from omni_catalogue.catalogue import AUTO
from omni_catalogue.snapshot import Snapshot, decode
from omni_core.ports.auth import AuthPort
from rich.console import Console

from omni_launch import banner
from omni_launch.data_dir import prepare
from omni_launch.demo import MODEL
from omni_launch.environment import (
    Flags,
    config_file,
    inherited,
    listen,
    merged,
    reachable,
    server_section,
    worker_count,
)
from omni_launch.logs import set_up_logging
from omni_launch.plan import Plan, Started
from omni_launch.problems import CannotStart
from omni_launch.process import Process
from omni_launch.targets import IN_WORKERS, Target, target


def up(flags: Flags) -> int:
    """Everything in one process, or in one and its gateways (``--workers``). Raises ``CannotStart``."""
    env = merged(flags, os.environ)
    path = config_file(flags, env)
    require_good(path, env)
    plan = _plan(target("all"), flags, env, path)  # what is wrong with it is said before anything is made
    data_dir = Path(env["DATA_DIR"])
    prepare(data_dir)
    from omni_auth.adapters.offline import ensure_local_key

    key = ensure_local_key(data_dir, env)  # before auth reads its store, so that the key we print works at once
    from omni_auth.adapters.offline_people import offer_setup

    return _run(plan, flags, key, offer_setup(data_dir, env))


def run(name: str, flags: Flags) -> int:
    """One target, in one process or (``--workers``) in several behind one port. Raises ``CannotStart``."""
    env = merged(flags, os.environ)
    if flags.workers is not None and name not in IN_WORKERS:
        raise CannotStart(
            f"'omniroute run {name}' cannot have workers",
            f"Start more of it instead. With workers there are 'up' and 'run {'|'.join(IN_WORKERS)}'",
        )
    return _run(_plan(target(name), flags, env, config_file(flags, env)), flags)


def require_good(path: Path | None, env: Mapping[str, str]) -> None:
    """Raises ``CannotStart`` with every problem of the configuration file, before anything is started."""
    from omni_auth.adapters.config_file import check_file

    if path is not None:
        report = check_file(path, env)
        if not report.ok:
            count = f"{len(report.problems)} problems" if len(report.problems) > 1 else "a problem"
            lines = "\n  ".join(report.problems)
            raise CannotStart(f"the configuration file has {count}:\n  {lines}\nNothing was started")


def _plan(chosen: Target, flags: Flags, env: dict[str, str], path: Path | None) -> Plan:
    server = server_section(path, env)
    whole = chosen.name == "all"
    given = inherited(env)
    workers = worker_count(flags, env) if given is None and (whole or chosen.name in IN_WORKERS) else 0
    plan = Plan(
        target=chosen,
        listen=listen(chosen, flags, env, server, apart=whole and workers > 0),
        env=env,
        config_file=path,
        demo=whole and not server.has_providers,
        embedded=whole,
        inherited=given,
    )
    if workers:
        gateways = target("gateway") if whole else chosen
        beside = target("control") if whole else Target(chosen.name, ())
        if whole and plan.listen.grpc_port is None:  # for its own gateways only: any port does
            plan = msgspec.structs.replace(plan, listen=msgspec.structs.replace(plan.listen, grpc_port=0))
        plan = msgspec.structs.replace(plan, target=beside, workers=workers, worker_target=gateways)
    return plan


def _run(plan: Plan, flags: Flags, key: str = "", setup: str = "") -> int:
    set_up_logging(plan.env)
    # The edge has its own bound on a drain; it follows the process' unless it is set by name.
    if seconds := plan.env.get("OMNIROUTE_DRAIN_SECONDS"):
        os.environ.setdefault("OMNIROUTE_EDGE_DRAIN_TIMEOUT", seconds)

    async def announce(started: Started) -> None:
        if plan.embedded:
            await _welcome(plan, flags, started, key, setup)
        elif plan.inherited is None:  # a worker's stdout is the supervisor's
            _ready(plan, started)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Process(plan, announce).run())


async def _welcome(plan: Plan, flags: Flags, started: Started, key: str, setup: str) -> None:
    auth: AuthPort = started.assembly.service("auth")
    snapshot = decode((await auth.configuration()).snapshot)
    from omni_auth.adapters.offline import LOCAL_KEY_FILE

    host = reachable(plan.listen.host)
    edge, dashboard = started.http["edge"], started.http["dashboard"]
    running = [f"{', '.join(plan.target.parts)}: one process, pid {os.getpid()}"]
    if plan.workers:
        running.append(f"{', '.join(target('gateway').parts)}: {plan.workers} processes that share the endpoint")
        admin = f"http://{reachable(plan.listen.admin_host)}:{started.http['admin']}"
        running.append(f"their health and numbers: {admin}/readyz, /metrics")
    running += [f"{name} {version}" for name, version in sorted(started.embedded.items())]
    running += [f"{name} of your own" for name in ("redis", "nats") if name not in started.embedded]
    demo = demo_answers(snapshot, started.demo_url)
    if demo:
        running.append(f"simulator as provider 'demo' at {started.demo_url}")
    welcome = banner.Welcome(
        endpoint=f"http://{host}:{edge}/v1",
        dashboard=f"http://{host}:{dashboard}/",
        key=key if snapshot.server.require_api_key else "",
        setup=f"http://{host}:{dashboard}/login#setup={setup}" if setup else "",
        key_file=str(Path(plan.env["DATA_DIR"]) / LOCAL_KEY_FILE),
        model=first_model(snapshot),
        running=tuple(running),
        config_file=str(plan.config_file or ""),
        demo=demo,
    )
    banner.show(welcome, Console(file=sys.stdout, highlight=False))
    sys.stdout.flush()
    if flags.open_browser:
        await asyncio.to_thread(banner.open_dashboard, welcome.dashboard, plan.env)


def _ready(plan: Plan, started: Started) -> None:
    """One line that a script can wait for."""
    host = reachable(plan.listen.host)
    ports = {name: port for name, port in started.http.items() if name != "admin"}
    http = " ".join(f"http://{host}:{port}" for port in ports.values())
    grpc = f" grpc {plan.env.get('OMNIROUTE_GRPC_HOST', '127.0.0.1')}:{started.grpc_port}" if started.grpc_port else ""
    admin = reachable(plan.listen.admin_host)
    crew = f" workers {plan.workers} admin http://{admin}:{started.http['admin']}" if plan.workers else ""
    print(f"omniroute {plan.target.name} is up: {http}{grpc}{crew}", flush=True)


def demo_answers(snapshot: Snapshot, url: str) -> bool:
    """Whether the simulator at ``url`` is a provider: it is started for a file that has none, and the store may have
    some all the same."""
    return bool(url) and any(provider.base_url == f"{url}/v1" for provider in snapshot.providers)


def first_model(snapshot: Snapshot) -> str:
    """A model id to show in the example: the demo's, a combo that somebody named, or the first that a provider names;
    "MODEL" where all providers are off."""
    if any(provider.id == "demo" for provider in snapshot.providers):
        return MODEL
    named = [combo.name for combo in snapshot.combos if combo.name.partition("/")[0] != AUTO]
    if named:
        return named[0]
    found = [f"{provider.id}/{model.id}" for provider in snapshot.providers for model in provider.models]
    whole = [model for model in found if not model.endswith("/*")]
    return next(iter([*whole, *(model.replace("*", "MODEL") for model in found)]), "MODEL")
