"""Deep recurrent networks in Keras: layers, careful initializers, and a zoo of published configurations.

Names are imported when first used: TensorFlow takes seconds to load and many commands never need it.
"""

import importlib
from importlib.metadata import version
from pathlib import Path

__version__ = version("deeprnn-keras")

_checkout = Path(__file__).resolve().parents[1]
if not Path(__file__).with_name("zoo").is_dir() and (_checkout / "zoo" / "registry.py").is_file():
    # Python started in a checkout finds this folder before an installed copy; its zoo stands beside it, not in it.
    __path__.append(str(_checkout))

_HOMES = {
    "CosineDecay": "deeprnn_keras.training.schedules",
    "GeometricDecay": "deeprnn_keras.training.schedules",
    "Registry": "deeprnn_keras.registry",
    "cell_spec": "deeprnn_keras.specs",
    "register_cell": "deeprnn_keras.specs",
    "Equations": "deeprnn_keras.equations",
    "AffineMap": "deeprnn_keras.equations",
    "DeepTransitionCell": "deeprnn_keras.cells",
    "MLPGateGRUCell": "deeprnn_keras.cells",
    "MLPGateLSTMCell": "deeprnn_keras.cells",
    "MLPGateRNNCell": "deeprnn_keras.cells",
    "RHNCell": "deeprnn_keras.cells",
    "RecurrentCell": "deeprnn_keras.cells",
    "DeepInput": "deeprnn_keras.layers",
    "DeepOutput": "deeprnn_keras.layers",
    "DeepRNN": "deeprnn_keras.layers",
    "GRU": "deeprnn_keras.layers",
    "LSTM": "deeprnn_keras.layers",
    "RNN": "deeprnn_keras.layers",
    "SimpleRNN": "deeprnn_keras.layers",
    "GradientHealth": "deeprnn_keras.audit.health_callback",
    "gradient_health": "deeprnn_keras.audit.gradient_health",
    "explain_kernels": "deeprnn_keras.audit",
    "probe_levels": "deeprnn_keras.audit",
    "OneHot": "deeprnn_keras.layers",
    "count_params": "deeprnn_keras.stack",
    "layer_units": "deeprnn_keras.stack",
    "output_width": "deeprnn_keras.stack",
    "ChronoBias": "deeprnn_keras.initializers",
    "ForgetBias": "deeprnn_keras.initializers",
    "PerGate": "deeprnn_keras.initializers",
    "ScaledIdentity": "deeprnn_keras.initializers",
    "TextCorpus": "deeprnn_keras.data",
    "ByteVocabulary": "deeprnn_keras.data",
    "Vocabulary": "deeprnn_keras.data",
    "WordVocabulary": "deeprnn_keras.data",
    "plain_words": "deeprnn_keras.data",
    "adding_problem": "deeprnn_keras.data.series",
    "adding_split": "deeprnn_keras.data.series",
    "bach_chorales": "deeprnn_keras.data.music",
    "piano_rolls": "deeprnn_keras.data.music",
    "sequential_mnist": "deeprnn_keras.data.mnist",
    "digits": "deeprnn_keras.data.series",
    "japanese_vowels": "deeprnn_keras.data.series",
    "king_james": "deeprnn_keras.data",
    "token_windows": "deeprnn_keras.data",
    "series_windows": "deeprnn_keras.data",
    "ArrayDataset": "deeprnn_keras.data.arrays",
    "BucketedDataset": "deeprnn_keras.data.buckets",
    "TBPTTDataset": "deeprnn_keras.data.tbptt",
    "LETTERS": "deeprnn_keras.data",
    "LanguageModel": "deeprnn_keras.models",
    "SequenceModel": "deeprnn_keras.models",
    "generate": "deeprnn_keras.generation",
    "generate_notes": "deeprnn_keras.generation.notes",
    "write_midi": "deeprnn_keras.data.midi",
    "Recipe": "deeprnn_keras.training.recipe",
    "PlateauDecay": "deeprnn_keras.training.schedules",
    "StepDecay": "deeprnn_keras.training.schedules",
    "LearningRate": "deeprnn_keras.training.learning_rate",
    "NonFiniteGuard": "deeprnn_keras.training.non_finite",
    "BitsPerCharacter": "deeprnn_keras.training.metrics",
    "Perplexity": "deeprnn_keras.training.metrics",
    "EMAWeights": "deeprnn_keras.training.averaging",
    "NTASGD": "deeprnn_keras.training.averaging",
    "learning_rate_range_test": "deeprnn_keras.training.range_test",
    "Resume": "deeprnn_keras.training.resume",
    "GradientGuard": "deeprnn_keras.optimizers",
    "GuardedAdam": "deeprnn_keras.optimizers",
    "GuardedRMSprop": "deeprnn_keras.optimizers",
    "GuardedSGD": "deeprnn_keras.optimizers",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
