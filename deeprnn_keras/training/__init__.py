"""Training: recipes, schedules, guards, progress, and the run that ties them together."""

import importlib

_HOMES = {
    "CosineDecay": "deeprnn_keras.training.schedules",
    "GeometricDecay": "deeprnn_keras.training.schedules",
    "Recipe": "deeprnn_keras.training.recipe",
    "train_text": "deeprnn_keras.training.text_run",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
