"""The tuner: L, h and the rest, found by keras-tuner under a budget."""

from deeprnn_keras.tuning.hyper_deep_rnn import HyperDeepRNN
from deeprnn_keras.tuning.optuna_engine import optuna_objective
from deeprnn_keras.tuning.own_model import OwnModel
from deeprnn_keras.tuning.tuners import BayesianOptimization, GridSearch, Hyperband, RandomSearch
from deeprnn_keras.tuning.workers import Workers

__all__ = [
    "BayesianOptimization",
    "GridSearch",
    "HyperDeepRNN",
    "Hyperband",
    "OwnModel",
    "RandomSearch",
    "Workers",
    "optuna_objective",
]
