"""What ``omniroute up`` tells the person who started it: where to send requests, with which key, and how to try it."""

import os
import sys
import webbrowser
from collections.abc import Mapping

import msgspec
from rich.console import Console
from rich.text import Text


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is empty where no key is needed, ``setup`` (a link for the first owner, good once) where somebody owns
    the gateway or was given one. ``running`` are lines of what was started."""

    endpoint: str
    dashboard: str
    key: str
    key_file: str
    model: str
    running: tuple[str, ...]
    config_file: str
    demo: bool
    setup: str = ""

    def __repr__(self) -> str:
        return f"Welcome({self.endpoint!r})"


def curl(welcome: Welcome) -> str:
    """A command that works as it stands, in one paste."""
    auth = f'  -H "Authorization: Bearer {welcome.key}" \\\n' if welcome.key else ""
    body = f'{{"model": "{welcome.model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return (
        f"curl -N {welcome.endpoint}/chat/completions \\\n{auth}  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )


def show(welcome: Welcome, console: Console) -> None:
    """Long lines are left whole: a wrapped command cannot be pasted."""

    def line(name: str, value: str, note: str = "") -> None:
        text = Text(f"  {name:<11}", style="dim") + Text(value, style="bold") + Text(f"  {note}" if note else "", "dim")
        console.print(text, soft_wrap=True)

    console.print(Text("\n  OmniRoute is up", style="bold green"))
    line("endpoint", welcome.endpoint)
    if welcome.key:
        line("key", welcome.key, f"admin; kept in {welcome.key_file}")
    line("dashboard", welcome.dashboard)
    if welcome.setup:
        line("log-in", welcome.setup, "for the first owner: once, within a day; later 'omniroute people setup'")
    line(
        "config",
        welcome.config_file or "none yet",
        "" if welcome.config_file else "a file omniroute.yaml in this folder is taken at the next start",
    )
    for running in welcome.running:
        line("running", running)
    console.print(Text("\n  Try it:\n", style="dim"))
    console.print(Text(curl(welcome)), soft_wrap=True)
    if welcome.demo:
        note = "\n  No provider is configured, so 'demo', a simulator, answers. Write yours into omniroute.yaml."
        console.print(Text(note, style="dim"), soft_wrap=True)
    console.print(Text("\n  Ctrl-C stops everything.\n", style="dim"))


def open_dashboard(url: str, env: Mapping[str, str]) -> bool:
    """Open the browser where there is a screen and a person; whether it was tried."""
    screen = sys.platform == "darwin" or env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
    if not screen or not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return webbrowser.open(url)
