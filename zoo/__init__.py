"""The zoo: deep recurrent networks by name, with their paper, recipe and exact weight count.

>>> from deeprnn_keras import zoo
>>> zoo.count_params("zaremba_medium")
19775200
>>> model = zoo.create_model("d2l_rnn_2x32")
"""

from deeprnn_keras.zoo import deep_steps, language  # noqa: F401 - they register their entries
from deeprnn_keras.zoo.presets import save_preset
from deeprnn_keras.zoo.registry import count_params, create_model, info, list_models

__all__ = ["count_params", "create_model", "info", "list_models", "save_preset"]
