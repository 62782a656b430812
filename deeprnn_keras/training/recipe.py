"""`Recipe`: how a model is trained, as data."""

import math
from dataclasses import dataclass, field, replace

from deeprnn_keras import checks
from deeprnn_keras.training.schedules import CosineDecay, GeometricDecay

OPTIMIZERS = ("adam", "rmsprop", "sgd")
QUICK_SECONDS = 60.0  # of updates on two cores; start-up and scoring come on top
QUICK_EPOCHS = 4
QUICK_BPTT = 32
QUICK_VALIDATION_WINDOWS = 512


@dataclass(frozen=True)
class Recipe:
    """Optimizer, learning rate and its schedule, clipping, batch, steps and epochs of a training.

    Attributes:
        optimizer: "adam", "rmsprop" or "sgd"; `optimizer_options` are further arguments of the Keras optimizer.
        learning_rate: the base rate; `schedule` multiplies it.
        clip_norm: all gradients together are scaled down to this norm where theirs is larger, or None.
        clip_value: every element of a gradient is cut to [-clip_value, clip_value], or None. One of the two at most.
        summed_over_time: learning rate and clipping are stated for a loss summed over the T steps of a window. Ours
            is the mean, so clipping is divided by T and, for "sgd", the learning rate multiplied by T: the same
            updates (RMSprop and Adam do not feel the scale).
        batch_size: n.
        bptt: T, the steps through which gradients flow back: the length of a training window.
        epochs: passes over the windows; more where `min_steps` updates ask for it (a short text).
        stride: symbols from one window to the next; None: `bptt`.
        train_windows, validation_windows: train on the first so many windows of a text and validate on the next so
            many; None: the held-out split of `TextCorpus`.

    Raises:
        ValueError: for a value out of range, naming it.

    >>> from deeprnn_keras import LanguageModel, Recipe
    >>> recipe = Recipe("sgd", learning_rate=1.0, clip_norm=5.0, batch_size=20, bptt=35, epochs=13)
    >>> model = recipe.compile(LanguageModel("ab", units=4), LanguageModel.loss_function())
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: CosineDecay | GeometricDecay | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    summed_over_time: bool = False
    batch_size: int = 32
    bptt: int = 64
    epochs: int = 1
    min_steps: int = 1
    stride: int | None = None
    train_windows: int | None = None
    validation_windows: int | None = None
    optimizer_options: dict = field(default_factory=dict)

    def __post_init__(self):
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.number("learning_rate", self.learning_rate, 0.0, right="a positive number")
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), 0.0, right="a positive number or None")
        if self.clip_norm and self.clip_value:
            raise ValueError(f"give clip_norm or clip_value, not both; got {self.clip_norm} and {self.clip_value}")
        for name in ("batch_size", "bptt", "epochs", "min_steps"):
            checks.positive_int(name, getattr(self, name))
        for name in ("stride", "train_windows", "validation_windows"):
            if getattr(self, name) is not None:
                checks.positive_int(name, getattr(self, name))
        if (self.train_windows is None) != (self.validation_windows is None):
            raise ValueError(
                "train_windows and validation_windows come together, or are both None; "
                f"got {self.train_windows} and {self.validation_windows}"
            )

    def changed(self, **values):
        """This recipe with other values; one way of clipping takes the place of the other."""
        other = {"clip_norm": "clip_value", "clip_value": "clip_norm"}
        replaced = {other[name]: None for name in other.keys() & values.keys()}
        return replace(self, **{**replaced, **values})

    def compile(self, model, loss):
        """Compiles `model` with this recipe's optimizer and `loss`; returns it."""
        import keras

        optimizer = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
        steps = self.bptt if self.summed_over_time else 1
        model.compile(
            optimizer[self.optimizer](
                self.mean_loss_rate(),
                global_clipnorm=self.clip_norm and self.clip_norm / steps,
                clipvalue=self.clip_value and self.clip_value / steps,
                **self.optimizer_options,
            ),
            loss,
        )
        return model

    def mean_loss_rate(self):
        """The base learning rate for a loss that is the mean over the steps."""
        return self.learning_rate * (self.bptt if self.summed_over_time and self.optimizer == "sgd" else 1)

    def callbacks(self):
        """The Keras callbacks that `model.fit` needs to follow this recipe: the learning-rate schedule."""
        if self.schedule is None:
            return []
        from deeprnn_keras.training.callbacks import LearningRate

        return [LearningRate(self.mean_loss_rate(), self.schedule)]

    def epochs_for(self, updates_per_epoch):
        """The number of epochs, given the number of updates in each."""
        return max(self.epochs, math.ceil(self.min_steps / updates_per_epoch))

    def quick(self, weights, num_layers):
        """(the recipe of a first impression, its updates): about a minute of updates on two cores.

        The number of updates comes from an estimate and not from a clock, so that it is the same in every run: a
        millisecond per time step and layer, and 0.1 ns per weight and symbol.
        """
        bptt = min(self.bptt, QUICK_BPTT)
        symbols = self.batch_size * bptt
        update = 1e-3 * bptt * num_layers + 1e-10 * symbols * weights
        updates = int(min(max(QUICK_SECONDS / update, 10 * QUICK_EPOCHS), 4000)) // QUICK_EPOCHS * QUICK_EPOCHS
        return replace(self, bptt=bptt, epochs=QUICK_EPOCHS, min_steps=1), updates

    def describe(self):
        """[(what, value)] for tables."""
        clip = [f"norm {self.clip_norm:g}"] if self.clip_norm else []
        clip += [f"value {self.clip_value:g}"] if self.clip_value else []
        options = ", ".join(f"{key}={value:g}" for key, value in self.optimizer_options.items())
        return [
            ("optimizer", f"{self.optimizer}{f' ({options})' if options else ''}"),
            ("learning rate", f"{self.learning_rate:g}, {self.schedule or 'constant'}"),
            ("gradient clip", " and ".join(clip) or "none"),
            *([("loss", "summed over the T steps")] if self.summed_over_time else []),
            ("batch n, steps T", f"{self.batch_size}, {self.bptt}"),
            ("epochs", str(self.epochs)),
        ]
