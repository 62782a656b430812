"""jax is an optional dependency: everything in it is Any."""

from typing import Any

def __getattr__(name: str) -> Any: ...
