"""``python -m omni_launch`` is ``omniroute``."""

from omni_launch.cli import main

main()
