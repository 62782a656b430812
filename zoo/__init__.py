"""Model zoo: deep recurrent networks by name, with their paper, training recipe, and exact parameter count.

>>> from deeprnn_keras import zoo
>>> zoo.count_params("zaremba_medium")
19775200
>>> model = zoo.create_model("d2l_rnn_2x32")
"""

from __future__ import annotations

import importlib
import pkgutil

from deeprnn_keras.zoo.audio import AudioEffectConfig
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.forecaster import ForecasterConfig, create_forecaster
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.language_model import LanguageModelConfig
from deeprnn_keras.zoo.presets import save_preset
from deeprnn_keras.zoo.registry import card, count_params, create_model, info, list_models, load_program, register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig
from deeprnn_keras.zoo.zero_shot import ZeroShotConfig

for _module in pkgutil.iter_modules(__path__):  # importing a module registers its entries
    if _module.name != "__main__":
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "AudioEffectConfig",
    "Configuration",
    "ForecasterConfig",
    "Initialization",
    "LanguageModelConfig",
    "SequenceModelConfig",
    "ZeroShotConfig",
    "card",
    "count_params",
    "create_forecaster",
    "create_model",
    "info",
    "list_models",
    "load_program",
    "register",
    "save_preset",
]
