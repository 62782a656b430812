"""A training with everything that has a state: run as a script it can be killed and run again."""

import sys
from pathlib import Path

import numpy as np


def training(folder, epochs=3, every=7, averaging="nt-asgd", callbacks=(), **changes):
    """-> (model, what `fit` is given): stateful, dropout, random T, a schedule with warm-up, averaging, AR and TAR."""
    import keras

    from deeprnn_keras import NTASGD, CosineDecay, LanguageModel, NonFiniteGuard, Recipe, Resume, TBPTTDataset

    class AtOnce(NTASGD):
        """Triggered at the end of the first epoch."""

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.triggered_at = 0

    keras.utils.set_random_seed(5)
    keras.backend.clear_session()
    stream = np.random.default_rng(0).integers(7, size=1_000)
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
        bptt=12,
        epochs=epochs,
        optimizer_options={"momentum": 0.5},
    )
    data = TBPTTDataset(stream, 4, recipe.bptt, random_bptt=True, seed=3)
    model = LanguageModel(7, 6, 2, stateful=True, dropout=0.3, input_dropout=0.2, output_dropout=0.1, ar=1.0, tar=1.0)
    recipe.compile(model, model.loss_function())
    inner = [*recipe.callbacks(data), NonFiniteGuard(), *callbacks]
    if averaging == "nt-asgd":
        inner[1] = AtOnce()
    resume = Resume(folder, data, inner, every=every, about=changes)
    held_out = TBPTTDataset(stream[::-1], 8, 20)
    return model, {
        "x": data,
        "epochs": epochs,
        "validation_data": held_out,
        "callbacks": [resume],
        "shuffle": False,
        "verbose": 0,
    }


def main(folder, epochs, every):
    """Trains, and writes the weights at the end."""
    model, fit = training(Path(folder) / "checkpoints", int(epochs), int(every))
    history = model.fit(**fit).history
    np.savez(Path(folder) / "end.npz", *model.get_weights(), *[history[key] for key in sorted(history)])


if __name__ == "__main__":
    main(*sys.argv[1:])
