"""Options that several commands have, and the data directory that they stand for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from omni_launch.data_dir import prepare
from omni_launch.environment import Flags, merged

Command = TypeVar("Command", bound=Callable[..., Any])

# Unreadable is for us to say: like everything else that is wrong on this machine, in one line with what to do next.
PATH = click.Path(path_type=Path, readable=False)


def data_dir(command: Command) -> Command:
    return click.option(
        "--data-dir", type=PATH, metavar="DIR", help="Where data is kept. [DATA_DIR, default ~/.omniroute]"
    )(command)


def config(command: Command) -> Command:
    return click.option(
        "--config",
        type=PATH,
        metavar="FILE",
        help="Configuration. [OMNIROUTE_CONFIG, default ./omniroute.yaml, then omniroute.yaml in the data directory]",
    )(command)


def prepared(data_dir: Path | None, config: Path | None = None) -> tuple[Path, dict[str, str]]:
    """The data directory, made where there is none, and the environment in force. Raises ``CannotStart``."""
    env = merged(Flags(data_dir=data_dir, config=config), os.environ)
    place = Path(env["DATA_DIR"])
    prepare(place)
    return place, env
