"""keras.metrics: see `keras`."""

from typing import Any

class Metric(Any): ...

def __getattr__(name: str) -> Any: ...
