"""tensorflow ships no types: everything in it is Any, except base classes; see `keras`."""

from typing import Any

from tensorflow import data

__all__ = ["data"]

def __getattr__(name: str) -> Any: ...
