"""What whole models have in common: their configuration is that of their stack and their own."""

import keras


class Configured:
    """`get_config` and `from_config` of a Keras model with a layer "deep_rnn" and a dictionary `_config`."""

    def get_config(self):
        """The arguments it was made with, those of its `DeepRNN` included."""
        rnn = self.get_layer("deep_rnn").get_config()
        own = {"name": self.name, "trainable": self.trainable, **self._config}
        return {**{key: rnn[key] for key in rnn.keys() - {"name", "trainable", "return_sequences"}}, **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of a configuration."""
        return cls(**config)


def serialized(initializer):
    """An initializer as plain values; None stays None."""
    return None if initializer is None else keras.initializers.serialize(keras.initializers.get(initializer))
