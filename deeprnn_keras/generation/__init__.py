"""Generation of text, music, and handwriting step by step, and scores of language models on text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
