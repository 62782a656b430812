"""Output to terminals whose encoding lacks characters."""

from __future__ import annotations

import io
import sys


def replace_unprintable() -> None:
    """Print characters that the standard output cannot encode as question marks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
