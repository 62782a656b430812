"""`Rates`: the learning rates that a training had."""

import keras


class Rates(keras.callbacks.Callback):
    """Notes the optimizer's learning rate after each update."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
