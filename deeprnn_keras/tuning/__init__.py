"""The tuner: L, h and the rest, found by keras-tuner under a budget."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
