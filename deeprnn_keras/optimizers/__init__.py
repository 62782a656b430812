"""Optimizers that look at a gradient before they take it."""

from deeprnn_keras.optimizers.guard import GUARDED_OPTIMIZERS, GradientGuard, GuardedAdam, GuardedRMSprop, GuardedSGD

__all__ = ["GUARDED_OPTIMIZERS", "GradientGuard", "GuardedAdam", "GuardedRMSprop", "GuardedSGD"]
