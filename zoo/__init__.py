"""The zoo: deep recurrent networks by name, with their paper, recipe and exact weight count.

>>> from deeprnn_keras import zoo
>>> zoo.count_params("zaremba_medium")
19775200
>>> model = zoo.create_model("d2l_rnn_2x32")
"""

import importlib
import pkgutil

from deeprnn_keras.zoo.presets import save_preset
from deeprnn_keras.zoo.registry import count_params, create_model, info, list_models

for _module in pkgutil.iter_modules(__path__):  # every file of entries registers them as it is imported
    if _module.name != "__main__":
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["count_params", "create_model", "info", "list_models", "save_preset"]
