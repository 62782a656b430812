from . import (
    audit,
    bench,
    cells,
    data,
    equations,
    exporters,
    forecasting,
    generation,
    initializers,
    interop,
    layers,
    models,
    optimizers,
    program,
    streaming,
    tasks,
    training,
    tuning,
    zoo,
)
from .audit import explain_kernels, gradient_health, probe_levels
from .cells import RecurrentCell
from .data import ArrayDataset, SeriesDataset, TBPTTDataset, TextCorpus, king_james, series_windows, token_windows
from .equations import AffineMap, DiagonalMap, Equations
from .exporters import export
from .forecasting import Forecaster
from .generation import generate, generate_stream
from .interop import convert
from .layers import GRU, LSTM, RNN, DeepRNN, SimpleRNN
from .models import AudioEffect, LanguageModel, SequenceModel
from .program import Program, lower
from .specs import register_cell
from .stack import count_params
from .streaming import Stream
from .training import Recipe, Resume

__version__: str

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AffineMap",
    "ArrayDataset",
    "AudioEffect",
    "DeepRNN",
    "DiagonalMap",
    "Equations",
    "Forecaster",
    "LanguageModel",
    "Program",
    "Recipe",
    "RecurrentCell",
    "Resume",
    "SequenceModel",
    "SeriesDataset",
    "SimpleRNN",
    "Stream",
    "TBPTTDataset",
    "TextCorpus",
    "audit",
    "bench",
    "cells",
    "convert",
    "count_params",
    "data",
    "equations",
    "explain_kernels",
    "export",
    "exporters",
    "forecasting",
    "generate",
    "generate_stream",
    "generation",
    "gradient_health",
    "initializers",
    "interop",
    "king_james",
    "layers",
    "lower",
    "models",
    "optimizers",
    "probe_levels",
    "program",
    "register_cell",
    "series_windows",
    "streaming",
    "tasks",
    "token_windows",
    "training",
    "tuning",
    "zoo",
]
