"""Searches that workers share through a storage; as a script, one worker that trains and may kill itself."""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf
from planted_search import OMITTED, planted_objective

from deeprnn_keras.tuning import HyperDeepRNN, StudyTuner

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3, 2)).astype("float32"), RNG.normal(size=(24, 1)).astype("float32")
EPOCHS, HEARTBEAT_TIMEOUT = 3, 30.0


def hyper(**changes):
    ranges = {"num_layers": (1, 4), "units": (16, 512), **OMITTED, **changes}
    return HyperDeepRNN(inputs=(3, 2), outputs=1, loss="mse", **ranges)


class PlantedStudyTuner(StudyTuner):
    """Tuner whose trials train nothing: the objective is a function of L and h, reported after each of three epochs.

    Attributes:
        seconds: Duration of a trial.
        log: File with a line for each trial that has started.
        killed: True if the process kills itself in its next trial, after the first epoch.
    """

    seconds, log, killed = 0.0, None, False

    def value(self, values):
        return planted_objective(values)

    def train(self, hp, seed, callbacks, *args, checkpoints=None, **kwargs):
        model = SimpleNamespace(stop_training=False)
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{checkpoints.name}\n")
        for epoch in range(3):
            time.sleep(self.seconds / 3)
            for callback in callbacks:
                callback.set_params({"epochs": 3})
                callback.set_model(model)
                callback.on_epoch_end(epoch, {"score": self.value(hp.values)})
            if self.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            if model.stop_training:
                break
        return {"score": self.value(hp.values), "num_params": 1, "seconds": self.seconds}


def planted_tuner(storage, directory, trials=8, cls=PlantedStudyTuner, space=None, **options):
    options = {"seed": 3, "prune": False, "algorithm": "random", "study": "planted", **options}
    return cls(space or hyper(), "score", trials, storage=storage, directory=directory, **options)


def scores(tuner):
    """Return the scores of all trials; fail if one is missing or has no score."""
    records = tuner.records()
    assert [record.trial_id for record in records] == [str(place) for place in range(tuner.max_trials)]
    assert all(record.complete for record in records), [record.message for record in records]
    return [record.score for record in records]


# === Trials that train ===
class KillInTrial(keras.callbacks.Callback):
    """Send SIGKILL to this process in the second epoch of its trial with this number, and log the epochs."""

    num_trials = 0

    def __init__(self, number, log):
        super().__init__()
        self._number, self._log = number, log

    def on_train_begin(self, logs=None):
        KillInTrial.num_trials += 1

    def on_epoch_begin(self, epoch, logs=None):
        with Path(self._log).open("a") as log:
            log.write(f"{os.getpid()} {epoch}\n")

    def on_epoch_end(self, epoch, logs=None):
        if KillInTrial.num_trials == self._number and epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def trained_tuner(storage, directory, trials, **options):
    space = hyper(
        units=(2, 8), cell="rnn", num_layers=(1, 2), learning_rate=(1e-3, 1e-1), options={"implementation": "loop"}
    )
    return StudyTuner(
        space, "val_loss", trials, storage=storage, study="trained", directory=directory, prune=False, seed=3, **options
    )


def run_trained(tuner, directory, killed_trial=0):
    options = {"validation_data": (X[16:], Y[16:]), "epochs": EPOCHS, "verbose": 0}
    tf.config.run_functions_eagerly(True)  # compilation takes longer than the training
    tuner.search(X[:16], Y[:16], callbacks=[KillInTrial(killed_trial, str(directory / "epochs.txt"))], **options)
    tf.config.run_functions_eagerly(False)


if __name__ == "__main__":
    storage, directory, trials, killed_trial = sys.argv[1:]
    tuner = trained_tuner(storage, directory, int(trials), heartbeat_timeout=HEARTBEAT_TIMEOUT)
    run_trained(tuner, Path(directory), int(killed_trial))
