"""Training data: texts with vocabularies, series with labels, music, and batches of them as `tf.data`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
