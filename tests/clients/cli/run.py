"""`make clients`: every agent over every upstream format.

    python -m tests.clients.cli.run [AGENT[:UPSTREAM] …]

A JSON line an agent and upstream, exit code 1 when one failed; a full run writes docs/client-agents.md. Packages are
installed from npm into ``.clients/`` and removed again after their agent's turn, unless KEEP=1. An agent passes when it
ends with 0 within its time, the file holds the content, no request got an error from the gateway, and every token the
provider served is accounted for; of a provider that tells none, every answer.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from omni_simulator import Simulator

from tests.clients import javascript, page
from tests.clients.cli.agents import AGENTS, NODE, Agent, Task
from tests.clients.door import Door
from tests.clients.upstreams import KEY, UPSTREAMS, Upstream, configuration
from tests.support.stack import Stack, running, simulator

ROOT = Path(__file__).parents[3]
PREFIXES = ROOT / ".clients"
FILE, CONTENT = "note.txt", "Written through the gateway.\n"
PROMPT = f"Create a file named {FILE} in the current directory with the content that you think is right."
_SCRIPT = f"+agent+think:6+file:{FILE}+content:{quote(CONTENT, safe='')}"
_ACCOUNTED_WITHIN = 15.0
_REFUSED = re.compile(r'^omniroute_edge_requests_total\{.*status_class="[45]xx".*\} (\S+)$', re.MULTILINE)
_COUNTED = ("input_tokens", "cached_input_tokens", "output_tokens")


def _combos() -> str:
    names = {f"agent-{row.id}": row.id for row in UPSTREAMS}
    names |= {agent.model: agent.over for agent in AGENTS if agent.model}
    row = '  - {{name: {}, strategy: fill-first, targets: ["{}/sim{}"]}}'
    return "\n".join(["combos:", *(row.format(name, over, _SCRIPT) for name, over in names.items()), ""])


def _wanted(agent: Agent, words: list[str]) -> list[Upstream]:
    rows = [row for row in UPSTREAMS if agent.over in ("", row.id)]
    return [row for row in rows if not words or {agent.name, f"{agent.name}:{row.id}"} & set(words)]


# ---- packages --------------------------------------------------------------------------------------------------------


def _install(prefix: Path, requirement: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not here: install Node.js with npm to run the agents")
    prefix.mkdir(parents=True, exist_ok=True)
    options = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
    done = subprocess.run([npm, "install", "--prefix", str(prefix), *options, requirement], check=False)
    if done.returncode:
        raise RuntimeError(f"npm could not install {requirement}")


def _node() -> str:
    """A node that is new enough for every agent: the machine's own, or one from npm."""
    try:
        return javascript.node()
    except RuntimeError:
        prefix = PREFIXES / "node"
        program = prefix / "node_modules" / NODE[0] / "bin" / "node"
        if not program.exists():
            _install(prefix, "@".join(NODE))
        return str(program)


@contextmanager
def _installed(requirement: str) -> Iterator[Path]:
    """Where the package's files are."""
    package = requirement.rpartition("@")[0]
    prefix = PREFIXES / requirement.replace("/", "+")
    place = prefix / "node_modules" / package
    if not place.exists():
        _install(prefix, requirement)
    try:
        yield place
    finally:
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(prefix, ignore_errors=True)


# ---- one run ---------------------------------------------------------------------------------------------------------


def _books(stack: Stack, provider: Simulator) -> dict[str, Any]:
    said = stack.get("/api/usage", f"{KEY}-boss").json()["totals"]
    refused = sum(float(value) for value in _REFUSED.findall(httpx.get(f"{stack.edge}/metrics", timeout=10).text))
    return {
        "accounted": {name: said[name] for name in _COUNTED},
        "served": {name: getattr(provider.served, name) for name in _COUNTED},
        "attempts": said["attempts"],
        "answers": provider.served.answers,
        "refused": refused,
    }


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


def _execute(command: list[str], env: dict[str, str], work: Path, seconds: float) -> tuple[int | None, str]:
    """The exit code, None when the time was up, and what was said."""
    bare = {"PATH": f"{Path(_node()).parent}:{os.environ['PATH']}", "TERM": "dumb", "LANG": "C.UTF-8", "NO_COLOR": "1"}
    # Nothing but the gateway may be reached; a proxy that refuses is quicker than a name that does not resolve.
    nowhere = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    away = nowhere | {name.lower(): value for name, value in nowhere.items()}
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, cwd=work, env={**bare, **away, **env}, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its own session: whatever it left running
        child.wait(10)
        said.seek(0)
        return code, said.read().decode(errors="replace")


def attempt(agent: Agent, place: Path, upstream: Upstream, stack: Stack, provider: Simulator) -> bool:
    program = place / agent.program
    command = [_node(), str(program)] if program.suffix == ".js" else [str(program)]
    before, start = _books(stack, provider), time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        home, work = Path(scratch) / "home", Path(scratch) / "work"
        home.mkdir()
        work.mkdir()
        task = Task(Door(stack.edge, KEY), agent.model or f"agent-{upstream.id}", home, PROMPT)
        launch = agent.launch(task)
        env = {"HOME": str(home), "TMPDIR": scratch, **launch.env}
        code, said = _execute([*command, *launch.arguments], env, work, agent.seconds)
        written = (work / FILE).read_text() if (work / FILE).exists() else None
    seconds = round(time.monotonic() - start, 1)
    after = _settled(before, upstream, stack, provider)
    accounted = _grown(before["accounted"], after["accounted"])
    served = _grown(before["served"], after["served"])
    figures = {
        "version": agent.version,
        "exit": code,
        "seconds": seconds,
        "written": written == CONTENT,
        "answers": after["answers"] - before["answers"],
        "refused": after["refused"] - before["refused"],
        "accounted": accounted,
        "served": served,
    }
    done = code == 0 and written == CONTENT and figures["answers"] > 1
    passed = done and not figures["refused"] and _agree(before, after, upstream)
    if not passed:
        figures["said"] = said[-1500:]
    line = {"test": f"{agent.name} ({agent.dialect}) over {upstream.format}", "seed": 0}
    print(json.dumps({**line, "figures": figures, "pass": passed}, ensure_ascii=False), flush=True)
    return passed


def _agree(before: dict[str, Any], after: dict[str, Any], upstream: Upstream) -> bool:
    """Whether all that the provider served is in the books."""
    if not upstream.counts:
        return bool(after["attempts"] - before["attempts"] == after["answers"] - before["answers"])
    return _grown(before["accounted"], after["accounted"]) == _grown(before["served"], after["served"])


def _settled(before: dict[str, Any], upstream: Upstream, stack: Stack, provider: Simulator) -> dict[str, Any]:
    """The books once they agree, or as they are when the time is up: usage is published in batches."""
    deadline = time.monotonic() + _ACCOUNTED_WITHIN
    while True:
        after = _books(stack, provider)
        if _agree(before, after, upstream) or time.monotonic() > deadline:
            return after
        time.sleep(0.2)


def main(wanted: list[str]) -> int:
    outcomes: dict[tuple[str, str, str], dict[str, bool]] = {}
    chosen = [(agent, upstream) for agent in AGENTS for upstream in _wanted(agent, wanted)]
    with (
        tempfile.TemporaryDirectory() as home,
        simulator() as provider,
        running("all", Path(home), configuration(provider.url) + _combos(), {}) as stack,
    ):
        for requirement, pairs in groupby(chosen, lambda pair: pair[0].requirement):
            with _installed(requirement) as place:
                for agent, upstream in pairs:
                    mine = outcomes.setdefault((agent.name, agent.version, agent.dialect), {})
                    mine[upstream.format] = attempt(agent, place, upstream, stack, provider)
    if not wanted:
        page.write_agents(outcomes)
    return 0 if chosen and all(passed for mine in outcomes.values() for passed in mine.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
