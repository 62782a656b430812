"""The epoch in Keras: `model.fit` on windows of the text, with our model or one of stock layers."""

import time

import keras

from deeprnn_keras.bench.epoch import EPOCHS, recipe_of, text_pieces
from deeprnn_keras.data import token_windows
from deeprnn_keras.models import LanguageModel

STOCK = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def train(name, model, updates, seed):
    """Two epochs of at most so many updates, as `deeprnn train` runs them, without validation between."""
    recipe = recipe_of(model)
    keras.utils.set_random_seed(seed)
    network = stock(model) if name == "keras" else ours(model)
    recipe.compile(network, LanguageModel.loss_function())
    data = token_windows(text_pieces(model), recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed)
    count = min(updates, len(data))
    clock = Clock()
    network.fit(
        data.repeat(),
        epochs=EPOCHS,
        steps_per_epoch=count,
        callbacks=[*recipe.callbacks(), clock],
        verbose=0,
        shuffle=False,
    )
    return {"epochs_s": clock.seconds, "updates": count, "updates_per_epoch": len(data), "loss": clock.losses}


def ours(model):
    """A `LanguageModel`."""
    shape = {key: model[key] for key in ("units", "num_layers", "cell", "embedding")}
    return LanguageModel(model["vocabulary"], **shape)


def stock(model):
    """The same layers from Keras."""
    size, layer = len(model["vocabulary"]), STOCK[model["cell"]]
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(size, model["embedding"]),
            *[layer(model["units"], return_sequences=True) for _ in range(model["num_layers"])],
            keras.layers.Dense(size),
        ]
    )


class Clock(keras.callbacks.Callback):
    """Seconds and mean loss of each epoch; the first begins with `fit`, so that it holds what is compiled."""

    def __init__(self):
        super().__init__()
        self.seconds, self.losses, self._began = [], [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(logs["loss"]))
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self._began = now
