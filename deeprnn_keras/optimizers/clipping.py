"""Clipping settings of any Keras optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def unwrap_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer inside a `LossScaleOptimizer`, or `optimizer` itself."""
    inner: keras.optimizers.Optimizer | None = getattr(optimizer, "inner_optimizer", None)
    return optimizer if inner is None else inner


def global_clipnorm_of(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Return the global norm that an optimizer clips gradients to, or None."""
    clip = getattr(unwrap_optimizer(optimizer), "global_clipnorm", None)
    return None if clip is None else float(clip)
