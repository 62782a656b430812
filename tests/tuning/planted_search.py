"""Search with a planted optimum and trials that train nothing; as a script, it runs or resumes such a search."""

import os
import signal
import sys
import time
from pathlib import Path

BEST = {"num_layers": 3, "units": 96}
OMITTED = dict.fromkeys(("cell", "connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"))


def planted_objective(values):
    """Return a value that is smallest at L = 3, h = 96."""
    import math

    return (values["num_layers"] - BEST["num_layers"]) ** 2 + math.log2(values["units"] / BEST["units"]) ** 2


def planted_tuner(algorithm, directory, trials=12, seconds=0.0, units=(16, 512), **options):
    """Return a tuner whose trials train nothing: the objective is a function of L and h."""
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.tuners import TUNERS

    class PlantedTuner(TUNERS[algorithm]):
        def search(self, *args, verbose=0, **kwargs):
            super().search(*args, verbose=verbose, **kwargs)

        def run_trial(self, trial, *args, **kwargs):
            with (Path(self.project_dir) / "runs.txt").open("a") as log:
                log.write(f"{trial.trial_id} {self.tuner_id}\n")
            value = planted_objective(trial.hyperparameters.values)
            for epoch in range(2):
                time.sleep(seconds / 2)
                self.oracle.update_trial(trial.trial_id, {"epoch/score": value}, step=epoch)
            return {"score": value}

    if algorithm == "grid":
        units = [16, 32, 96, 256]
    if algorithm == "hyperband":
        options = {"max_epochs": 4, "factor": 2, **options}
    hyper = HyperDeepRNN(inputs=4, outputs=1, loss="mse", num_layers=(1, 4), units=units, **OMITTED)
    import keras_tuner

    objective = keras_tuner.Objective("score", "min")
    options = {"prune": False, **options}
    return PlantedTuner(hyper, objective, trials, directory=directory, project_name="search", seed=3, **options)


def kill_during_write(number):
    """Send SIGKILL to this process while it writes its JSON file with this number, counted from 1."""
    from deeprnn_keras.tuning import resumable_oracle, search_directory

    count = 0

    def write_half(value, path, write_json=search_directory.write_json):
        nonlocal count
        count += 1
        if count == number:
            path.with_name(f".{os.getpid()}.{path.name}").write_text('{"half')
            os.kill(os.getpid(), signal.SIGKILL)
        write_json(value, path)

    search_directory.write_json = resumable_oracle.write_json = write_half


if __name__ == "__main__":
    algorithm, directory, seconds, killed_write = sys.argv[1:5]
    if killed_write != "none":
        kill_during_write(int(killed_write))
    planted_tuner(algorithm, directory, seconds=float(seconds), heartbeat_timeout=5.0).search()
