"""`Recipe`: how a model is trained, as data."""

import dataclasses
import math
from dataclasses import dataclass, field

from deeprnn_keras import _compat, checks
from deeprnn_keras.training.schedules import CosineDecay, GeometricDecay, PlateauDecay, StepDecay

OPTIMIZERS = ("adam", "rmsprop", "sgd")
AVERAGING = ("ema", "nt-asgd")
EMA_MOMENTUM = 0.999
NONMONO = 5  # epochs, as in Merity et al. 2017
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
        schedule: `CosineDecay`, `GeometricDecay`, `StepDecay`, `PlateauDecay`, or None.
        warmup: updates over which the rate rises linearly to its full value.
        global_clipnorm: all gradients together are scaled down to this norm where theirs is larger, or None.
        clipvalue: every element of a gradient is cut to [-clipvalue, clipvalue], or None. One of the two at most.
        sum_over_time: learning rate and clipping are stated for a loss summed over the T steps of a window. Ours
            is the mean, so clipping is divided by T and, for "sgd", the learning rate multiplied by T: the same
            updates (RMSprop and Adam do not feel the scale).
        weight_decay: lambda: each update takes learning rate x lambda x weight off a weight, or None.
        ar, tar: penalties on large and on restless outputs of the top `DeepRNN`, see there.
        averaging: "nt-asgd": `NTASGD`; "ema": an exponential moving average, Keras' own, of momentum .999 unless
            `optimizer_options` has another `ema_momentum`; None.
        stateful: train on lanes (`TBPTTDataset`), carrying the state from batch to batch, instead of on windows that
            begin with a zero state.
        random_bptt: T is drawn anew for each batch, and the rate goes with it; needs `stateful`.
        batch_size: n.
        bptt: T, the steps through which gradients flow back: the length of a training window.
        epochs: passes over the windows; more where `min_steps` updates ask for it (a short text).
        stride: symbols from one window to the next; None: `bptt`.
        train_windows, validation_windows: train on the first so many windows of a text and validate on the next so
            many; None: the held-out split of `TextCorpus`.

    Raises:
        ValueError: for a value out of range, naming it.

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
    optimizer_options: dict = field(default_factory=dict)

    def __post_init__(self):
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.positive("learning_rate", self.learning_rate)
        for name in ("global_clipnorm", "clipvalue", "weight_decay"):
            if getattr(self, name) is not None:
                checks.positive_or_none(name, getattr(self, name))
        if self.global_clipnorm and self.clipvalue:
            raise ValueError(
                f"give global_clipnorm or clipvalue, not both; got {self.global_clipnorm} and {self.clipvalue}"
            )
        for name in ("batch_size", "bptt", "epochs", "min_steps"):
            checks.positive_int(name, getattr(self, name))
        for name in ("warmup", "ar", "tar"):
            checks.non_negative(name, getattr(self, name))
        if self.averaging is not None:
            checks.one_of("averaging", self.averaging, AVERAGING)
        if self.random_bptt and not self.stateful:
            raise ValueError("random_bptt=True cuts lanes of a stream; it needs stateful=True")
        for name in ("stride", "train_windows", "validation_windows"):
            if getattr(self, name) is not None:
                checks.positive_int(name, getattr(self, name))
        if (self.train_windows is None) != (self.validation_windows is None):
            raise ValueError(
                "train_windows and validation_windows come together, or are both None; "
                f"got {self.train_windows} and {self.validation_windows}"
            )

    def replace(self, **values):
        """This recipe with other values; one way of clipping takes the place of the other."""
        other = {"global_clipnorm": "clipvalue", "clipvalue": "global_clipnorm"}
        replaced = {other[name]: None for name in other.keys() & values.keys()}
        return dataclasses.replace(self, **{**replaced, **values})

    def prepare(self, model, loss, data=None, metrics=()):
        """(the compiled model, the callbacks that `fit` needs to follow this recipe), a guard against NaN among them.

        Args:
            model: any Keras model.
            loss: what `compile` takes.
            data: the training data, a `TBPTTDataset` where T is random; else it may be left out.
            metrics: what `compile` takes.
        """
        from deeprnn_keras.training.non_finite import NonFiniteGuard

        return self.compile(model, loss, metrics), [*self.callbacks(data), NonFiniteGuard(recipe=self)]

    def compile(self, model, loss, metrics=()):
        """Compiles `model` with this recipe's optimizer, penalties and `loss`; returns it."""
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
        self._penalize(model)
        model.compile(optimizer, loss, metrics=list(metrics))
        return model

    def _penalize(self, model):
        """AR and TAR belong to the top stack; a recipe without them leaves a model's own alone."""
        if not (self.ar or self.tar):
            return
        from deeprnn_keras.layers import DeepRNN

        stacks = [layer for layer in _compat.flatten_layers(model) if isinstance(layer, DeepRNN)]
        if not stacks:
            raise ValueError(f"ar={self.ar:g} and tar={self.tar:g} need a DeepRNN, and model {model.name!r} has none")
        stacks[-1].set_activation_regularization(self.ar, self.tar)

    def mean_loss_rate(self):
        """The base learning rate for a loss that is the mean over the steps."""
        return self.learning_rate * (self.bptt if self.sum_over_time and self.optimizer == "sgd" else 1)

    def callbacks(self, data=None):
        """The Keras callbacks that `model.fit` needs to follow this recipe: learning rate and averaging."""
        from deeprnn_keras.training.learning_rate import LearningRate

        if self.random_bptt and not getattr(data, "random_bptt", False):
            raise ValueError(
                "random_bptt=True: give the TBPTTDataset too, callbacks(data), so that the rate goes with T"
            )
        found = []
        if self.schedule is not None or self.warmup or self.random_bptt:
            found.append(LearningRate(self.mean_loss_rate(), self.schedule, self.warmup, data))
        if self.averaging is not None:
            from deeprnn_keras.training.averaging import NTASGD, EMAWeights

            found.append(EMAWeights() if self.averaging == "ema" else NTASGD(NONMONO))
        return found

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
        return dataclasses.replace(self, bptt=bptt, epochs=QUICK_EPOCHS, min_steps=1), updates

    def describe(self):
        """[(what, value)] for tables."""
        clip = [f"norm {self.global_clipnorm:g}"] if self.global_clipnorm else []
        clip += [f"value {self.clipvalue:g}"] if self.clipvalue else []
        options = ", ".join(f"{key}={value:g}" for key, value in self.optimizer_options.items())
        warm = f", warm-up over {self.warmup:,} updates" if self.warmup else ""
        held = {"weight decay": self.weight_decay, "AR": self.ar, "TAR": self.tar}
        steps = f"about {self.bptt}, drawn anew for each batch" if self.random_bptt else self.bptt
        return [
            ("optimizer", f"{self.optimizer}{f' ({options})' if options else ''}"),
            ("learning rate", f"{self.learning_rate:g}, {self.schedule or 'constant'}{warm}"),
            ("gradient clip", " and ".join(clip) or "none"),
            *([("loss", "summed over the T steps")] if self.sum_over_time else []),
            *([("penalties", ", ".join(f"{k} {v:g}" for k, v in held.items() if v))] if any(held.values()) else []),
            *([("averaging", self.averaging.upper())] if self.averaging else []),
            ("batch n, steps T", f"{self.batch_size}, {steps}"),
            ("state", "carried from batch to batch" if self.stateful else "zero at the start of each window"),
            ("epochs", str(self.epochs)),
        ]
