"""Find ``prometheus`` and ``promtool``, or get them from Debian's archive into ``.venv/debian``, without being root.

    python tools/get_prometheus.py      prints the folder that holds both

They are taken from PATH where both are, else from an earlier run, else the ``prometheus`` package of this machine's own
Debian or Ubuntu sources is downloaded (apt checks its signature) and unpacked, not installed. Tests of the alert rules
and dashboards need them; nothing that OmniRoute runs does.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / "debian"
PROGRAMS = ("prometheus", "promtool")
# Debian 12's. Older ones lack functions that the rules and their tests use.
OLDEST = (2, 42)
_SECONDS = 90


class CannotHave(Exception):
    """There is no Prometheus here and none could be fetched; says why, and what to do."""


def prometheus_folder() -> Path:
    """The folder with both programs, fetched when needed. Raises ``CannotHave``."""
    found = shutil.which("promtool")
    for folder in [Path(found).parent] if found else []:
        if _suits(folder):
            return folder
    kept = HOME / "prometheus" / "usr" / "bin"
    if not _suits(kept):
        _fetch(HOME / "prometheus")
    if not _suits(kept):
        raise CannotHave(f"what was unpacked at {kept} does not run, or is older than {_dotted(OLDEST)}")
    return kept


def _suits(folder: Path) -> bool:
    """Whether both programs are there, run, and are new enough."""
    if not all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
        return False
    ended = subprocess.run([folder / "promtool", "--version"], capture_output=True, text=True, check=False)
    said = re.search(r"version (\d+)\.(\d+)", ended.stdout + ended.stderr)
    return said is not None and (int(said[1]), int(said[2])) >= OLDEST


def _fetch(place: Path) -> None:
    """Download with the package lists that are here; with lists of our own where those are missing or too old."""
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        raise CannotHave(f"no {' and no '.join(missing)} here: put Prometheus {_dotted(OLDEST)} or newer on PATH")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".prometheus-") as scratch:
        work = Path(scratch)
        # apt as root would hand the download to a user who may not write here.
        options = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::Retries=1"]
        said = _download(work, options)
        if said:
            own = _own_lists(work)
            _run(["apt-get", *options, *own, "update"], work)
            said = _download(work, [*options, *own])
        if said:
            raise CannotHave(
                "the Debian package 'prometheus' could not be downloaded; put Prometheus "
                f"{_dotted(OLDEST)} or newer on PATH (Debian: apt install prometheus). apt said: {said}"
            )
        (package,) = work.glob("*.deb")
        ended = _run(["dpkg-deb", "--extract", str(package), str(work / "unpacked")], work)
        if ended.returncode:
            raise CannotHave(f"{package.name} could not be unpacked: {ended.stderr[-500:]}")
        shutil.rmtree(place, ignore_errors=True)
        try:
            (work / "unpacked").rename(place)
        except OSError as error:
            if not place.is_dir():  # else another run was quicker, which is as good
                raise CannotHave(f"{place} cannot be written: {error}") from error


def _download(work: Path, options: list[str]) -> str:
    """Fetch the package into ``work``; empty when it is there, else what apt said."""
    ended = _run(["apt-get", *options, "download", "prometheus"], work)
    return "" if any(work.glob("*.deb")) else (ended.stderr or ended.stdout).strip()[-500:] or "nothing"


def _own_lists(work: Path) -> list[str]:
    """Options that keep apt's lists and caches in ``work``, where they may be written."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}"]


def _run(command: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_SECONDS} s")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def main() -> int:
    try:
        print(prometheus_folder())
    except CannotHave as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
