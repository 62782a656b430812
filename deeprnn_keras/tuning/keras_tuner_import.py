"""Import of keras-tuner with an error message that names the extra to install."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from deeprnn_keras import extras

if TYPE_CHECKING:
    import keras_tuner
else:
    # keras-tuner does not declare these dependencies: BayesianOptimization imports scipy and scikit-learn, and every
    # trial imports tensorboard
    for _module in ("scipy", "sklearn", "tensorboard"):
        extras.import_optional(_module, "tune", "deeprnn_keras.tuning")
    keras_tuner = extras.import_optional("keras_tuner", "tune", "deeprnn_keras.tuning")

Trial: TypeAlias = Any
"""A keras-tuner trial, whose class is not public."""

__all__ = ["Trial", "keras_tuner"]
