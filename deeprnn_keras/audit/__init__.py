"""What a model is made of: which kernel runs each of its recurrent layers, and what each level knows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
