"""Callback that records the learning rate of each update."""

import keras


class RateHistory(keras.callbacks.Callback):
    """Learning rates of the optimizer after each update."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
