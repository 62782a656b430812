"""Hyperparameter search for deep RNNs with keras-tuner or Optuna, with limits on parameters and time."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
