"""Models run step by step: with their state in hand, sampled from, and scored on text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
