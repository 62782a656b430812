"""A search with a planted optimum, quick enough to be killed often: run as a script it goes on where it was."""

import os
import signal
import sys
import time
from pathlib import Path

BEST = {"num_layers": 3, "units": 96}


def objective(values):
    """Smallest at L = 3, h = 96."""
    import math

    return (values["num_layers"] - BEST["num_layers"]) ** 2 + math.log2(values["units"] / BEST["units"]) ** 2


def planted(algorithm, directory, trials=12, seconds=0.0, units=(16, 512), **options):
    """A tuner whose trials train nothing: the objective is worked out from L and h."""
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.tuners import TUNERS

    class Planted(TUNERS[algorithm]):
        def search(self, *args, verbose=0, **kwargs):
            super().search(*args, verbose=verbose, **kwargs)

        def run_trial(self, trial, *args, **kwargs):
            with (Path(self.project_dir) / "runs.txt").open("a") as log:
                log.write(f"{trial.trial_id} {self.tuner_id}\n")
            value = objective(trial.hyperparameters.values)
            for epoch in range(2):
                time.sleep(seconds / 2)
                self.oracle.update_trial(trial.trial_id, {"epoch/score": value}, step=epoch)
            return {"score": value}

    if algorithm == "grid":
        units = [16, 32, 96, 256]
    if algorithm == "hyperband":
        options = {"max_epochs": 4, "factor": 2, **options}
    left_out = dict.fromkeys(("cell", "connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"))
    hyper = HyperDeepRNN(inputs=4, outputs=1, loss="mse", num_layers=(1, 4), units=units, **left_out)
    import keras_tuner

    wanted = keras_tuner.Objective("score", "min")
    options = {"prune": False, **options}
    return Planted(hyper, wanted, trials, directory=directory, project_name="search", seed=3, **options)


def die_in_a_write(number):
    """SIGKILL in the middle of write number so and so."""
    from deeprnn_keras.tuning import records

    count = 0

    def half(value, path, whole=records.save_plain):
        nonlocal count
        count += 1
        if count == number:
            path.with_name(f".{os.getpid()}.{path.name}").write_text('{"half')
            os.kill(os.getpid(), signal.SIGKILL)
        whole(value, path)

    records.save_plain = half
    from deeprnn_keras.tuning import oracles

    oracles.save_plain = half


if __name__ == "__main__":
    algorithm, directory, seconds, death = sys.argv[1:5]
    if death != "none":
        die_in_a_write(int(death))
    planted(algorithm, directory, seconds=float(seconds), lease=5.0).search()
