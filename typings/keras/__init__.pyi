"""keras ships no types: everything in it is Any.

Base classes of this package's classes are declared as classes that derive from Any, because the type checker rejects
`@override` in a class whose direct base is Any.
"""

from typing import Any

from keras import callbacks, initializers, layers, losses, metrics, optimizers

__all__ = ["Model", "callbacks", "initializers", "layers", "losses", "metrics", "optimizers"]

class Model(Any): ...

def __getattr__(name: str) -> Any: ...
