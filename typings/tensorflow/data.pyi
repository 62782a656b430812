"""tensorflow.data: see `keras`."""

from typing import Any

class Dataset(Any): ...

def __getattr__(name: str) -> Any: ...
