"""keras_tuner ships no types: everything in it is Any, except base classes; see `keras`."""

from typing import Any

from keras_tuner import oracles

__all__ = ["HyperModel", "Tuner", "oracles"]

class HyperModel(Any): ...
class Tuner(Any): ...

def __getattr__(name: str) -> Any: ...
