"""Callback that handles non-finite losses, gradients, and weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Logs
from deeprnn_keras.optimizers.clipping import global_clipnorm_of, unwrap_optimizer
from deeprnn_keras.optimizers.guard import GradientGuard
from deeprnn_keras.training.callback_state import StateTypes
from deeprnn_keras.training.repeated_order import warn_of_repeated_order

if TYPE_CHECKING:
    from deeprnn_keras.training.recipe import Recipe

ACTIONS = ("stop", "skip")
MAX_SKIPPED_IN_A_ROW = 10


class NonFiniteGuard(keras.callbacks.Callback):
    """Stop at a non-finite loss or gradient, or skip such updates, and report the update and the cause.

    Optimizers with a `GradientGuard`, among them those of a `Recipe`, never apply a non-finite gradient. A finite but
    far too large update can still make the weights non-finite. The callback therefore copies the weights every `every`
    updates. A copy is considered good once the loss computed with it was finite, and is restored when training stops.
    (`keras.callbacks.TerminateOnNaN` also stops, but does not restore weights that became NaN.)

    Args:
        every: Number of updates between two copies of the weights.
        recipe: Recipe whose settings the advice refers to; None to refer to the settings of the optimizer.
        action: "stop" stops training. "skip" skips the update, resets metrics and carried states, and continues; it
            stops after 10 skipped updates in a row, or if the weights are not finite.

    Attributes:
        advice: The cause and the suggested changes, or None if training has not been stopped.
        skipped: Numbers of the skipped updates.

    Raises:
        ValueError: If `action` is not supported; in `fit`, if it is "skip" and the optimizer has no `GradientGuard`.

    >>> from deeprnn_keras.training import NonFiniteGuard
    >>> NonFiniteGuard(action="skip").skipped
    []
    """

    resumable_state: ClassVar[StateTypes] = {
        "every": None,
        "action": None,
        "recipe": None,
        "advice": str | None,
        "skipped": list[int],
        "update": int,
    }

    def __init__(self, every: int = 25, recipe: Recipe | None = None, action: str = "stop") -> None:
        super().__init__()
        self.every = checks.positive_int("every", every)
        self.recipe = recipe
        self.action = checks.one_of("action", action, ACTIONS)
        self.advice: str | None = None
        self.skipped: list[int] = []
        self.update = 0

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        self.advice, self.update, self.skipped = None, 0, []
        warn_of_repeated_order()
        self._good: list[np.ndarray] = self.model.get_weights()
        self._candidate = self._good
        if self.action == "skip" and not isinstance(unwrap_optimizer(self.model.optimizer), GradientGuard):
            raise ValueError(
                f"action='skip' needs an optimizer with a GradientGuard, for example GuardedAdam, got "
                f"{type(self.model.optimizer).__name__}; use such an optimizer or action='stop'"
            )

    def _num_skipped(self) -> int:
        """Return the number of updates that the optimizer has skipped; 0 if it skips none or is not built."""
        return int(_value(getattr(unwrap_optimizer(self.model.optimizer), "skipped", 0)))

    @override
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._skipped_before = self._num_skipped()

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs is not None
        self.update += 1
        loss_is_finite = math.isfinite(logs["loss"])
        if loss_is_finite and self._num_skipped() == self._skipped_before:
            if self.update % self.every == 0:
                self._good, self._candidate = self._candidate, self.model.get_weights()
            return
        if self.action == "stop" or self._must_stop():
            self._stop(loss_is_finite)
            return
        self.skipped.append(self.update)
        self.model.reset_metrics()  # their sums and the carried states may be NaN

    def _must_stop(self) -> bool:
        last = self.skipped[1 - MAX_SKIPPED_IN_A_ROW :]
        in_a_row = last == list(range(self.update + 1 - MAX_SKIPPED_IN_A_ROW, self.update))
        return in_a_row or not self._weights_are_finite()

    def _weights_are_finite(self) -> bool:
        return all(np.isfinite(weight).all() for weight in self.model.get_weights() if weight.dtype.kind == "f")

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        # only the validation loss shows the effect of the last update of an epoch
        if self.advice is None and not math.isfinite((logs or {}).get("val_loss", 0.0)):
            self._stop(False)

    def _stop(self, loss_is_finite: bool) -> None:
        rate, clip = float(_value(self.model.optimizer.learning_rate)), global_clipnorm_of(self.model.optimizer)
        if self.recipe is not None:
            rate, clip = rate * self.recipe.learning_rate / self.recipe.mean_loss_rate(), self.recipe.global_clipnorm
        clipping = (
            f"lower global_clipnorm from {clip:g} to {clip / 4:g}" if clip else "set global_clipnorm=1 (currently None)"
        )
        quantity = "a gradient" if loss_is_finite else "the loss"
        self.advice = (
            f"{quantity} was not finite at update {self.update}, with a learning rate of {rate:.3g}: "
            f"{self._cause(loss_is_finite)}; the last good weights were restored. Lower learning_rate, for example to "
            f"{rate / 3:.1g}, or {clipping}."
        )
        self.model.set_weights(self._good)
        self.model.stop_training = True

    def _cause(self, loss_is_finite: bool) -> str:
        for weight in self.model.weights:
            values = keras.ops.convert_to_numpy(weight)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return f"earlier updates made the weight {weight.path} non-finite"
        faulty = int(_value(getattr(unwrap_optimizer(self.model.optimizer), "faulty", -1)))
        path = self.model.trainable_variables[faulty].path if faulty >= 0 else None
        if loss_is_finite:
            return f"the gradient of {path} overflowed in the backward pass, although loss and weights were finite"
        first = f" (first non-finite gradient: {path})" if path else ""
        return f"the weights were finite, so the inputs contain NaN or infinity, or activations overflowed{first}"


def _value(variable: keras.Variable | float) -> np.ndarray:
    """Return the value of a variable, which `int` and `float` do not read under `tf.distribute`."""
    return keras.ops.convert_to_numpy(variable)
