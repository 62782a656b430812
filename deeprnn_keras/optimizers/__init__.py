"""Optimizers that clip gradients by their global norm and skip non-finite updates."""

from deeprnn_keras.optimizers.guard import GUARDED_OPTIMIZERS, GradientGuard, GuardedAdam, GuardedRMSprop, GuardedSGD

__all__ = ["GUARDED_OPTIMIZERS", "GradientGuard", "GuardedAdam", "GuardedRMSprop", "GuardedSGD"]
