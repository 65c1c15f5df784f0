"""Write ``docs/wire-formats.md`` from the codecs. Run through ``make wire-formats``.

python -m tools.make_wire_formats [FILE]
"""

import sys
from pathlib import Path
from typing import Final

from tools.wire_formats.page import render

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "wire-formats.md"

if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(render())
