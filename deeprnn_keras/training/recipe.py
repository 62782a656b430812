"""Training recipe as data: optimizer, schedule, clipping, batches, and epochs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Tensor
from deeprnn_keras.training.schedules import CosineDecay, GeometricDecay, PlateauDecay, StepDecay, check_schedule

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Loss: TypeAlias = "str | Callable[[Tensor, Tensor], Tensor] | Sequence[Any] | Mapping[str, Any]"
"""Argument `loss` of `keras.Model.compile`."""

OPTIMIZERS = ("adam", "rmsprop", "sgd")
AVERAGING = ("ema", "nt-asgd")
EMA_MOMENTUM = 0.999
NONMONO = 5  # epochs, as in Merity et al. 2017
QUICK_SECONDS = 60.0  # duration of the updates on 2 cores, excluding start-up and scoring
QUICK_EPOCHS = 4
QUICK_BPTT = 32
QUICK_VALIDATION_WINDOWS = 512

CHECKS: dict[Callable[[str, object], object], tuple[str, ...]] = {
    checks.positive: ("learning_rate",),
    checks.positive_or_none: ("global_clipnorm", "clipvalue", "weight_decay"),
    checks.non_negative: ("ar", "tar"),
    checks.non_negative_int: ("warmup",),
    checks.positive_int: ("batch_size", "bptt", "epochs", "min_steps"),
    checks.positive_int_or_none: ("stride", "train_windows", "validation_windows"),
    checks.flag: ("sum_over_time", "stateful", "random_bptt"),
}
"""Names of fields by the function that checks them."""


@dataclass(frozen=True)
class Recipe:
    """Optimizer, learning-rate schedule, clipping, batch size, window length, and epochs of a run.

    Attributes:
        optimizer: "adam", "rmsprop", or "sgd".
        learning_rate: Base learning rate, which `schedule` multiplies.
        schedule: `CosineDecay`, `GeometricDecay`, `StepDecay`, `PlateauDecay`, or None for a constant learning rate.
        warmup: Number of updates over which the learning rate increases linearly to its full value.
        global_clipnorm: Global norm to clip gradients to, or None.
        clipvalue: Absolute value to clip each element of a gradient to, or None. Not together with `global_clipnorm`.
        sum_over_time: If True, learning rate and clipping are stated for a loss that is summed over the T steps of a
            window. This library averages over the steps; `compile` therefore divides clipping by T and, for "sgd",
            multiplies the learning rate by T, which results in the same updates. (RMSprop and Adam are invariant to the
            scale.)
        weight_decay: λ: each update subtracts learning rate x λ x weight from a weight; None for no decay.
        ar: Coefficient of activation regularization, applied to the last `DeepRNN` of the model.
        tar: Coefficient of temporal activation regularization, applied to the last `DeepRNN` of the model.
        averaging: "nt-asgd" for `NTASGD`; "ema" for Keras' exponential moving average, with momentum 0.999 unless
            `optimizer_options` sets `ema_momentum`; None for no averaging.
        stateful: If True, train on parallel streams (`TBPTTDataset`) and carry states from batch to batch; otherwise,
            each window starts from a zero state.
        random_bptt: If True, draw T at random for each batch, with a learning rate proportional to T. Requires
            `stateful`.
        batch_size: n, the number of windows or streams per batch.
        bptt: T, the number of steps per window, through which gradients are propagated.
        epochs: Number of epochs, increased if `min_steps` requires it.
        min_steps: Minimum number of updates, for short texts.
        stride: Number of symbols between the starts of successive windows; None for `bptt`.
        train_windows: Number of windows at the start of a text to train on; None for the held-out split of
            `TextCorpus`.
        validation_windows: Number of windows to validate on, which follow the training windows; None if and only if
            `train_windows` is None.
        optimizer_options: Additional arguments of the Keras optimizer.

    Raises:
        ValueError: If a value is out of range or two values exclude each other.

    >>> from deeprnn_keras import LanguageModel, Recipe
    >>> recipe = Recipe("sgd", learning_rate=1.0, global_clipnorm=5.0, batch_size=20, bptt=35, epochs=13)
    >>> model = recipe.compile(LanguageModel("ab", units=4), LanguageModel.loss_function())
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: CosineDecay | GeometricDecay | StepDecay | PlateauDecay | None = None
    warmup: int = 0
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    sum_over_time: bool = False
    weight_decay: float | None = None
    ar: float = 0.0
    tar: float = 0.0
    averaging: str | None = None
    stateful: bool = False
    random_bptt: bool = False
    batch_size: int = 32
    bptt: int = 64
    epochs: int = 1
    min_steps: int = 1
    stride: int | None = None
    train_windows: int | None = None
    validation_windows: int | None = None
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_values()
        self._check_combinations()

    def _check_values(self) -> None:
        """Check each value and store it as Python's number or flag."""
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        check_schedule("schedule", self.schedule)
        if self.averaging is not None:
            checks.one_of("averaging", self.averaging, AVERAGING)
        if not isinstance(self.optimizer_options, Mapping):
            raise ValueError(f"optimizer_options must be a dictionary, got {self.optimizer_options!r}")
        for check, names in CHECKS.items():
            checks.store(self, **{name: check(name, getattr(self, name)) for name in names})
        checks.store(self, optimizer_options=checks.to_python(self.optimizer_options))

    def _check_combinations(self) -> None:
        if self.global_clipnorm and self.clipvalue:
            raise ValueError(
                "global_clipnorm and clipvalue exclude each other, "
                f"got global_clipnorm={self.global_clipnorm} and clipvalue={self.clipvalue}; set one of them to None"
            )
        if self.random_bptt and not self.stateful:
            raise ValueError("random_bptt=True requires stateful=True, got stateful=False")
        if (self.train_windows is None) != (self.validation_windows is None):
            raise ValueError(
                "train_windows and validation_windows must both be integers or both be None, "
                f"got train_windows={self.train_windows} and validation_windows={self.validation_windows}"
            )

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with other values. Setting one kind of clipping removes the other."""
        other = {"global_clipnorm": "clipvalue", "clipvalue": "global_clipnorm"}
        removed = {other[name]: None for name in other.keys() & changes.keys()}
        return dataclasses.replace(self, **{**removed, **changes})

    def prepare(
        self,
        model: keras.Model,
        loss: Loss,
        data: tf.data.Dataset | None = None,
        metrics: Sequence[Any] = (),
    ) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        """Compile a model and return it with the callbacks for `fit`, including a `NonFiniteGuard`.

        Args:
            model: Any Keras model.
            loss: Argument of `compile`.
            data: Training data; required with `random_bptt`, which needs a `TBPTTDataset`.
            metrics: Argument of `compile`.
        """
        from deeprnn_keras.training.non_finite import NonFiniteGuard

        return self.compile(model, loss, metrics), [*self.callbacks(data), NonFiniteGuard(recipe=self)]

    def compile(self, model: keras.Model, loss: Loss, metrics: Sequence[Any] = ()) -> keras.Model:
        """Compile a model with the optimizer and penalties of this recipe, and return it.

        Args:
            model: Any Keras model.
            loss: Argument of `keras.Model.compile`.
            metrics: Argument of `keras.Model.compile`.

        Raises:
            ValueError: If the recipe has activation regularization and the model has no `DeepRNN`.
        """
        from deeprnn_keras.optimizers.guard import GUARDED_OPTIMIZERS

        steps = self.bptt if self.sum_over_time else 1
        ema = {"use_ema": True, "ema_momentum": EMA_MOMENTUM} if self.averaging == "ema" else {}
        optimizer = GUARDED_OPTIMIZERS[self.optimizer](
            self.mean_loss_rate(),
            global_clipnorm=self.global_clipnorm and self.global_clipnorm / steps,
            clipvalue=self.clipvalue and self.clipvalue / steps,
            weight_decay=self.weight_decay,
            **{**ema, **self.optimizer_options},
        )
        self._regularize_activations(model)
        model.compile(optimizer, loss, metrics=list(metrics))
        return model

    def _regularize_activations(self, model: keras.Model) -> None:
        """Set AR and TAR of the last `DeepRNN`; a recipe without them does not change those of the model."""
        if not (self.ar or self.tar):
            return
        from deeprnn_keras.layers import DeepRNN

        stacks = [layer for layer in _compat.flatten_layers(model) if isinstance(layer, DeepRNN)]
        if not stacks:
            raise ValueError(
                f"ar={self.ar:g} and tar={self.tar:g} require a DeepRNN, but model {model.name!r} has none; "
                "set both to 0"
            )
        stacks[-1].set_activation_regularization(self.ar, self.tar)

    def mean_loss_rate(self) -> float:
        """Return the base learning rate for a loss that is averaged over the time steps."""
        return self.learning_rate * (self.bptt if self.sum_over_time and self.optimizer == "sgd" else 1)

    def callbacks(self, data: tf.data.Dataset | None = None) -> list[keras.callbacks.Callback]:
        """Return the callbacks for the learning rate and averaging.

        Args:
            data: Training data; required with `random_bptt`, which needs a `TBPTTDataset`.

        Raises:
            ValueError: If the recipe has `random_bptt` and `data` does not.
        """
        from deeprnn_keras.training.learning_rate import LearningRate

        if self.random_bptt and not getattr(data, "random_bptt", False):
            raise ValueError(
                "random_bptt=True requires data to be a TBPTTDataset with random_bptt=True, to adapt the learning rate "
                f"to T, got {type(data).__name__}; pass the dataset to callbacks(data) or prepare(..., data=data)"
            )
        callbacks: list[keras.callbacks.Callback] = []
        if self.schedule is not None or self.warmup or self.random_bptt:
            callbacks.append(LearningRate(self.mean_loss_rate(), self.schedule, self.warmup, data))
        if self.averaging is not None:
            from deeprnn_keras.training.averaging import NTASGD, EMAWeights

            callbacks.append(EMAWeights() if self.averaging == "ema" else NTASGD(NONMONO))
        return callbacks

    def epochs_for(self, updates_per_epoch: int) -> int:
        """Return the number of epochs: `epochs`, or more if `min_steps` requires it."""
        return max(self.epochs, math.ceil(self.min_steps / updates_per_epoch))

    def quick(self, num_params: int, num_layers: int) -> tuple[Recipe, int]:
        """Return a recipe for a trial run of about one minute on 2 cores, and its number of updates.

        The number of updates is the same in every run, because it is estimated rather than timed: 1 ms per time step
        and layer, and 0.1 ns per parameter and symbol.

        Args:
            num_params: Number of parameters of the model.
            num_layers: Number of recurrent layers, L.
        """
        bptt = min(self.bptt, QUICK_BPTT)
        symbols = self.batch_size * bptt
        seconds_per_update = 1e-3 * bptt * num_layers + 1e-10 * symbols * num_params
        updates = min(max(QUICK_SECONDS / seconds_per_update, 10 * QUICK_EPOCHS), 4000)
        updates = int(updates) // QUICK_EPOCHS * QUICK_EPOCHS
        return dataclasses.replace(self, bptt=bptt, epochs=QUICK_EPOCHS, min_steps=1), updates

    def describe(self) -> list[tuple[str, str]]:
        """Return pairs (setting, value) for tables."""
        options = ", ".join(f"{key}={value:g}" for key, value in self.optimizer_options.items())
        warmup = f", warm-up over {self.warmup:,} updates" if self.warmup else ""
        steps = f"about {self.bptt} (random for each batch)" if self.random_bptt else self.bptt
        return [
            ("optimizer", f"{self.optimizer}{f' ({options})' if options else ''}"),
            ("learning rate", f"{self.learning_rate:g}, {self.schedule or 'constant'}{warmup}"),
            ("gradient clipping", self._describe_clipping()),
            *([("loss", "summed over the T steps")] if self.sum_over_time else []),
            *self._describe_penalties(),
            *([("averaging", self.averaging.upper())] if self.averaging else []),
            ("batch size n, steps T", f"{self.batch_size}, {steps}"),
            ("state", "carried from batch to batch" if self.stateful else "zero at the start of each sequence"),
            ("epochs", str(self.epochs)),
        ]

    def _describe_clipping(self) -> str:
        if self.global_clipnorm:
            return f"global norm {self.global_clipnorm:g}"
        return f"value {self.clipvalue:g}" if self.clipvalue else "none"

    def _describe_penalties(self) -> list[tuple[str, str]]:
        penalties = {"weight decay": self.weight_decay, "AR": self.ar, "TAR": self.tar}
        texts = [f"{name} {value:g}" for name, value in penalties.items() if value]
        return [("penalties", ", ".join(texts))] if texts else []
