"""Training run in which every component has a state. As a script, it can be killed and resumed."""

import sys
from pathlib import Path

import numpy as np


def resumable_run(directory, epochs=3, every=4, averaging="nt-asgd", callbacks=(), implementation="auto", **changes):
    """Return a model and the arguments of `fit`.

    Stateful, with dropout, random T, a schedule with warm-up, averaging, AR, and TAR; 6 updates per epoch.
    """
    import keras

    from deeprnn_keras import LanguageModel, Recipe, Resume, TBPTTDataset
    from deeprnn_keras.training import NTASGD, CosineDecay, NonFiniteGuard

    class TriggeredNTASGD(NTASGD):
        """NT-ASGD that is triggered at the end of the first epoch."""

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.triggered_at = 0

    keras.utils.set_random_seed(5)
    keras.backend.clear_session()
    stream = np.random.default_rng(0).integers(7, size=160)
    recipe = Recipe(
        "sgd",
        4.0,
        CosineDecay(final=0.2),
        warmup=5,
        global_clipnorm=0.25,
        weight_decay=1e-5,
        ar=1.0,
        tar=1.0,
        averaging=averaging,
        stateful=True,
        random_bptt=True,
        batch_size=4,
        bptt=7,
        epochs=epochs,
        optimizer_options={"momentum": 0.5},
    )
    data = TBPTTDataset(stream, 4, recipe.bptt, random_bptt=True, seed=3)
    rates = {"dropout": 0.3, "input_dropout": 0.2, "output_dropout": 0.1}
    model = LanguageModel(7, 6, 2, stateful=True, ar=1.0, tar=1.0, implementation=implementation, **rates)
    recipe.compile(model, model.loss_function())
    inner = [*recipe.callbacks(data), NonFiniteGuard(), *callbacks]
    if averaging == "nt-asgd":
        inner[1] = TriggeredNTASGD()
    resume = Resume(directory, data, inner, every=every, about=changes)
    held_out = TBPTTDataset(stream[::-1], 8, 9)
    return model, {
        "x": data,
        "epochs": epochs,
        "validation_data": held_out,
        "callbacks": [resume],
        "shuffle": False,
        "verbose": 0,
    }


def main(directory, epochs, every, implementation):
    """Train, and write the final weights and the history."""
    model, fit = resumable_run(Path(directory) / "checkpoints", int(epochs), int(every), implementation=implementation)
    history = model.fit(**fit).history
    np.savez(Path(directory) / "end.npz", *model.get_weights(), *[history[key] for key in sorted(history)])


if __name__ == "__main__":
    main(*sys.argv[1:])
