"""Stand-ins for the classes that a saved model may contain, so that Keras finds them without importing them.

Keras does not import the modules of other packages when it loads a model, and importing them together with
`deeprnn_keras` would import TensorFlow. Once Keras has been imported, each class of this package that is registered for
saving therefore has a stand-in in Keras' registry, whose `from_config` imports the class. The class then registers
itself in its place.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from deeprnn_keras._types import Config, Layer

MODULES = {
    "AbsoluteBound": "cells.independent",
    "AddDryChannel": "layers.dry_channel",
    "AudioEffect": "models.audio_effect",
    "BitsPerCharacter": "training.metrics",
    "BlankPadding": "layers.blank_padding",
    "ChronoBias": "initializers.gate_bias",
    "CombinedQuantiles": "forecasting.combination",
    "CoupledLSTMCell": "cells.gated",
    "DeepInput": "layers.per_step",
    "DeepOutput": "layers.per_step",
    "DeepRNN": "layers.deep_rnn",
    "DeepTransitionCell": "cells.transition",
    "DropoutEmbedding": "layers.dropout_embedding",
    "ESR": "models.audio_losses",
    "ErrorToSignal": "models.audio_losses",
    "FastGRNNCell": "cells.gated",
    "ForgetBias": "initializers.gate_bias",
    "FrameNLL": "models.output_kinds",
    "GRU": "layers.drop_ins",
    "Gaussian": "forecasting.likelihoods",
    "GuardedAdam": "optimizers.guard",
    "GuardedRMSprop": "optimizers.guard",
    "GuardedSGD": "optimizers.guard",
    "HardSigmoid": "interop.keras2_layers",
    "IndRNNCell": "cells.independent",
    "LRUCell": "cells.parallel",
    "LSTM": "layers.drop_ins",
    "LabelErrorRate": "models.ctc",
    "LanguageModel": "models.language_model",
    "LayerNormGRUCell": "cells.layer_norm",
    "LayerNormLSTMCell": "cells.layer_norm",
    "MGUCell": "cells.gated",
    "MLPGateGRUCell": "cells.mlp_gates",
    "MLPGateLSTMCell": "cells.mlp_gates",
    "MLPGateRNNCell": "cells.mlp_gates",
    "MinGRUCell": "cells.parallel",
    "MinLSTMCell": "cells.parallel",
    "MultiResolutionSTFT": "models.audio_losses",
    "MultiplicativeLSTMCell": "cells.gated",
    "NegativeBinomial": "forecasting.likelihoods",
    "OneHot": "layers.one_hot",
    "PeepholeLSTMCell": "cells.gated",
    "ProjectedLSTMCell": "cells.gated",
    "PerGate": "initializers.per_gate",
    "Perplexity": "training.metrics",
    "PointForecast": "forecasting.likelihoods",
    "QRNNCell": "cells.parallel",
    "Quantiles": "forecasting.likelihoods",
    "RGLRUCell": "cells.parallel",
    "RHNCell": "cells.highway",
    "RNN": "layers.drop_ins",
    "Ring": "cells.parallel",
    "SRUCell": "cells.parallel",
    "ScaledIdentity": "initializers.scaled_identity",
    "SequenceModel": "models.sequence_model",
    "SimpleRNN": "layers.drop_ins",
    "StrokeNLL": "models.mixture",
    "StudentT": "forecasting.likelihoods",
    "TimeMajor": "interop.keras2_layers",
    "UGRNNCell": "cells.gated",
}
"""Module of each class that is registered for saving."""

HDF5_MODELS = ("AudioEffect", "LanguageModel", "SequenceModel")
"""Models, which Keras stores in `.h5` files by the names of their classes instead of their registered names."""


def install() -> None:
    """Add the stand-ins to Keras' registry, now if Keras has been imported, otherwise when it is imported."""
    if "keras" not in sys.modules:
        sys.meta_path.insert(0, _KerasFinder())
    elif hasattr(sys.modules["keras"], "saving"):
        _register()


class _KerasFinder:
    """Finder of modules that adds the stand-ins as soon as `keras` has been imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        loader: Any = None if spec is None else spec.loader
        if loader is not None:
            loader.exec_module = self._followed_by_registration(loader.exec_module)
        return spec

    def _followed_by_registration(self, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            execute(module)
            _register()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        return exec_module


def _register() -> None:
    import keras

    registry = keras.saving.get_custom_objects()
    for name, module in MODULES.items():
        registry.setdefault(f"deeprnn_keras>{name}", _stand_in(name, module))
    for name in HDF5_MODELS:
        registry.setdefault(name, registry[f"deeprnn_keras>{name}"])


def _stand_in(name: str, module: str) -> type:
    def from_config(_: type, config: Config) -> Layer:
        return getattr(importlib.import_module(f"deeprnn_keras.{module}"), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config), "__doc__": f"Stand-in for `{name}`."})
