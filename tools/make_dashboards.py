"""Write the Grafana dashboards in deploy/grafana/dashboards. Run through ``make dashboards``.

python -m tools.make_dashboards [DIRECTORY]
"""

import sys
from pathlib import Path

from tools.dashboards import DASHBOARDS
from tools.dashboards.grafana import render

DIRECTORY = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "dashboards"


def write(directory: Path) -> None:
    """Write every dashboard into ``directory``, and remove what is no longer one."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {f"{dashboard.uid.removeprefix('omniroute-')}.json": render(dashboard) for dashboard in DASHBOARDS}
    for path in directory.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
