"""keras.callbacks: see `keras`."""

from typing import Any

class Callback(Any): ...

def __getattr__(name: str) -> Any: ...
