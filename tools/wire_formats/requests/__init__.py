"""What a request can say. Every example is the smallest that says it."""

from typing import Final

from tools.wire_formats.requests import content, settings, tools

ROWS: Final = (*content.ROWS, *tools.ROWS, *settings.ROWS)
