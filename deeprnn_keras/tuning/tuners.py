"""The four tuners, by the names that keras-tuner gives them."""

from deeprnn_keras import checks
from deeprnn_keras.tuning.tuner import DeepTuner


class RandomSearch(DeepTuner):
    """Draws at random: hard to beat with few trials, and each tells about every hyper-parameter.

    See `DeepTuner` for the arguments.

    >>> import numpy as np, tempfile
    >>> from deeprnn_keras.tuning import HyperDeepRNN, RandomSearch
    >>> x, y = np.random.default_rng(0).normal(size=(32, 5, 2)), np.zeros((32, 1))
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=(1, 2), units=(2, 4), cell="rnn")
    >>> tuner = RandomSearch(hyper, "val_loss", max_trials=2, directory=tempfile.mkdtemp())
    >>> tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    >>> len(tuner.oracle.get_best_trials(5))
    2
    """

    algorithm = "random"


class BayesianOptimization(DeepTuner):
    """Draws where a Gaussian process expects much or knows little. See `DeepTuner` for the arguments.

    A third of the trials, at least three, is drawn at random before it begins; `num_initial_points` changes that.
    """

    algorithm = "bayesian"

    def _oracle_options(self, given):
        return {"num_initial_points": max(3, (self.max_trials or 0) // 3), **given}


class Hyperband(DeepTuner):
    """Many short trials, of which the best are gone on with (Li et al. 2018). See `DeepTuner` for the arguments.

    A trial that is promoted goes on with its weights, its optimizer's state, its schedule and its random numbers, as
    if it had never stopped. `max_epochs` are those of the longest trials; the schedule of the learning rate spans
    them in each.
    """

    algorithm = "hyperband"

    def __init__(self, hypermodel, objective="val_loss", max_trials=None, *, max_epochs=9, **options):
        self.max_epochs = checks.positive_int("max_epochs", max_epochs)
        super().__init__(hypermodel, objective, max_trials, max_epochs=max_epochs, **options)


class GridSearch(DeepTuner):
    """All combinations in order, ranges of real numbers at ten places. See `DeepTuner` for the arguments."""

    algorithm = "grid"


TUNERS = {"random": RandomSearch, "bayesian": BayesianOptimization, "hyperband": Hyperband, "grid": GridSearch}
