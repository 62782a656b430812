from .hyper_deep_rnn import HyperDeepRNN
from .optuna_engine import optuna_objective
from .own_model import OwnModel
from .tuners import BayesianOptimization, GridSearch, Hyperband, RandomSearch
from .workers import Workers

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
