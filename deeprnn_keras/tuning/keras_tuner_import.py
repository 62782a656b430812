"""keras-tuner, or the error that says how to install it."""

from deeprnn_keras import extras

# BayesianOptimization needs scipy and scikit-learn, every trial tensorboard; keras-tuner declares none of them
for _module in ("scipy", "sklearn", "tensorboard"):
    extras.import_optional(_module, "tune", "deeprnn_keras.tuning")
keras_tuner = extras.import_optional("keras_tuner", "tune", "deeprnn_keras.tuning")

__all__ = ["keras_tuner"]
