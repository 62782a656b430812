"""Deep recurrent networks in Keras: layers, initializers, training, and a model zoo of published configurations.

Names and submodules are imported on first use (Scientific Python SPEC 1), because importing TensorFlow takes seconds
and many commands do not need it. `__init__.pyi` lists them, for editors and for `lazy_loader`.
"""

from importlib.metadata import version as _version
from pathlib import Path as _Path

import lazy_loader as _lazy_loader

from deeprnn_keras import stand_ins as _stand_ins

__version__ = _version("deeprnn-keras")

_checkout = _Path(__file__).resolve().parents[1]
if not _Path(__file__).with_name("zoo").is_dir() and (_checkout / "zoo" / "registry.py").is_file():
    # in a checkout, Python imports this directory instead of an installed copy, and zoo/ is beside it, not inside it
    __path__.append(str(_checkout))

_stand_ins.install()  # so that Keras loads models with classes of this package
_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
_RENAMED = {"Map": "AffineMap", "count_weights": "count_params", "windows": "token_windows"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name)}")
    return _load(name)


def _hint(name: str) -> str:
    """Return the end of an error message: the new name of a renamed object, or the submodule that provides `name`."""
    if name in _RENAMED:
        return f"; it is now {_RENAMED[name]!r}"
    for path in sorted(_Path(__file__).parent.glob("*/__init__.py*")):  # `__all__` lists names in double quotes
        if f'"{name}"' in path.read_text(encoding="utf-8"):
            return f"; use {__name__}.{path.parent.name}.{name}"
    return ""
