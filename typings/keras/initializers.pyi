"""keras.initializers: see `keras`."""

from typing import Any

class Initializer(Any): ...

def __getattr__(name: str) -> Any: ...
