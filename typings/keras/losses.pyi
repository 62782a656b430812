"""keras.losses: see `keras`."""

from typing import Any

class Loss(Any): ...

def __getattr__(name: str) -> Any: ...
