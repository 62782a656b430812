from .custom_model_config import CustomModelConfig
from .hyper_deep_rnn import HyperDeepRNN
from .optuna_engine import optuna_objective
from .tuned_forecaster import TunedForecaster
from .tuners import BayesianOptimization, GridSearch, Hyperband, RandomSearch
from .workers import Workers

__all__ = [
    "BayesianOptimization",
    "CustomModelConfig",
    "GridSearch",
    "HyperDeepRNN",
    "Hyperband",
    "RandomSearch",
    "TunedForecaster",
    "Workers",
    "optuna_objective",
]
