"""`NonFiniteGuard`: what happens when a loss or a gradient is no longer finite."""

import math

import keras
import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.optimizers.clipping import global_clipnorm_of, innermost
from deeprnn_keras.optimizers.guard import GradientGuard
from deeprnn_keras.training.repeated_order import warn_of_repeated_order

ACTIONS = ("stop", "skip")
PATIENCE = 10  # updates left out one after another before training stops all the same


class NonFiniteGuard(keras.callbacks.Callback):
    """Stops when loss or gradient is no longer finite, or leaves such updates out, and says where and why.

    With an optimizer that has a `GradientGuard`, those of a `Recipe`, a gradient that is not finite is never taken.
    Weights can spoil all the same, by an update that is finite and far too large: every `every` updates they are set
    aside; a set counts as good once the loss computed with it was finite, and comes back when training stops.
    (`keras.callbacks.TerminateOnNaN` stops too, but leaves the weights that are NaN already.)

    Args:
        every: updates between two sets.
        recipe: the `Recipe` in whose numbers the advice is given, or None for the optimizer's.
        action: "stop"; or "skip": leave the update out and go on, with metrics and carried states begun anew, until
            ten in a row were left out or the weights themselves are not finite.

    Attributes:
        advice: None, or what happened and what to try, in words.
        skipped: numbers of the updates left out.

    Raises:
        ValueError: for another action, or, in `fit`, "skip" with an optimizer that takes whatever comes.

    >>> from deeprnn_keras.training import NonFiniteGuard
    >>> NonFiniteGuard(action="skip").skipped
    []
    """

    def __init__(self, every=25, recipe=None, action="stop"):
        super().__init__()
        self.every, self.recipe, self.advice, self.seen = checks.positive_int("every", every), recipe, None, 0
        self.action, self.skipped = checks.one_of("action", action, ACTIONS), []

    def on_train_begin(self, logs=None):
        self.advice, self.seen, self.skipped = None, 0, []
        warn_of_repeated_order()
        self._good = self._candidate = self.model.get_weights()
        if self.action == "skip" and not isinstance(innermost(self.model.optimizer), GradientGuard):
            raise ValueError(
                f"action='skip' needs an optimizer that leaves updates out, such as GuardedAdam; "
                f"{type(self.model.optimizer).__name__} takes them, use action='stop'"
            )

    def _left_out(self):
        """Updates left out so far by the optimizer, None if it does not count."""
        counter = getattr(innermost(self.model.optimizer), "skipped", None)
        return None if counter is None else int(counter)

    def on_train_batch_begin(self, batch, logs=None):
        self._before = self._left_out() or 0  # an optimizer may be built in its first update

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        finite = math.isfinite(logs["loss"])
        if finite and (self._left_out() or 0) == self._before:
            if self.seen % self.every == 0:
                self._good, self._candidate = self._candidate, self.model.get_weights()
            return
        if self.action == "stop" or self._hopeless():
            self._stop(finite)
            return
        self.skipped.append(self.seen)
        self.model.reset_metrics()  # their sums are spoilt, and so may be the states carried

    def _hopeless(self):
        row = self.skipped[1 - PATIENCE :]
        return row == list(range(self.seen + 1 - PATIENCE, self.seen)) or not self._weights_finite()

    def _weights_finite(self):
        return all(np.isfinite(weight).all() for weight in self.model.get_weights() if weight.dtype.kind == "f")

    def on_epoch_end(self, epoch, logs=None):
        # the last update of an epoch shows in the validation loss only
        if self.advice is None and not math.isfinite((logs or {}).get("val_loss", 0.0)):
            self._stop(False)

    def _stop(self, loss_finite):
        rate, clip = float(self.model.optimizer.learning_rate), global_clipnorm_of(self.model.optimizer)
        if self.recipe is not None:
            rate, clip = rate * self.recipe.learning_rate / self.recipe.mean_loss_rate(), self.recipe.global_clipnorm
        clipping = (
            f"global_clipnorm {clip:g} to {clip / 4:g}" if clip else "set global_clipnorm=1, which is not set now"
        )
        what = "a gradient" if loss_finite else "the loss"
        self.advice = (
            f"{what} was no longer finite at update {self.seen}, with a learning rate of {rate:.3g}: "
            f"{self._cause(loss_finite)}; the last good weights are kept. Lower learning_rate, for instance to "
            f"{rate / 3:.1g}, or {clipping}."
        )
        self.model.set_weights(self._good)
        self.model.stop_training = True

    def _cause(self, loss_finite):
        for weight in self.model.weights:
            values = keras.ops.convert_to_numpy(weight)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return f"updates had made {weight.path} infinite"
        faulty = int(getattr(innermost(self.model.optimizer), "faulty", -1))
        where = self.model.trainable_variables[faulty].path if faulty >= 0 else None
        if loss_finite:
            return f"on the way back the gradient of {where} overflowed, though loss and weights were finite"
        first = f" (first gradient that is not finite: {where})" if where else ""
        return f"the weights were finite, so the input holds NaN or infinity, or activations overflowed{first}"
