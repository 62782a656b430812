"""keras-tuner, or the line that installs it."""

INSTALL = "the tuner needs keras-tuner and what it imports; install it with: pip install 'deeprnn-keras[tune]'"

try:
    import keras_tuner
    import scipy  # noqa: F401 - BayesianOptimization needs both and does not declare them
    import sklearn  # noqa: F401
    import tensorboard  # noqa: F401 - without it every trial dies on TensorFlow
except ImportError as error:
    raise ImportError(f"{INSTALL} ({error})") from error

__all__ = ["keras_tuner"]
