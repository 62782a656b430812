"""Deep recurrent networks in Keras: layers, careful initializers, and a zoo of published configurations.

Names and submodules are imported when first used (SPEC 1): TensorFlow takes seconds to load and many commands never
need it. `__init__.pyi` lists them, for editors as for `lazy_loader`.
"""

from importlib.metadata import version as _version
from pathlib import Path as _Path

import lazy_loader as _lazy_loader

__version__ = _version("deeprnn-keras")

_checkout = _Path(__file__).resolve().parents[1]
if not _Path(__file__).with_name("zoo").is_dir() and (_checkout / "zoo" / "registry.py").is_file():
    # Python started in a checkout finds this folder before an installed copy; its zoo stands beside it, not in it.
    __path__.append(str(_checkout))

_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _load(name)
