"""keras ships no types: everything in it is Any.

The classes that this package derives from are classes that derive from Any: the type checker reports `@override` as an
error in a class whose own base is Any, but not if Any is further up.
"""

from typing import Any

from keras import callbacks, initializers, layers, losses, metrics, optimizers

__all__ = ["Model", "callbacks", "initializers", "layers", "losses", "metrics", "optimizers"]

class Model(Any): ...

def __getattr__(name: str) -> Any: ...
