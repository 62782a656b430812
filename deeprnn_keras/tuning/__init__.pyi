from .custom_model_config import CustomModelConfig
from .hyper_deep_rnn import HyperDeepRNN
from .optuna_engine import optuna_objective
from .study_tuner import StudyTuner
from .tuned_forecaster import TunedForecaster
from .tuners import BayesianOptimization, GridSearch, Hyperband, RandomSearch, tuner
from .workers import Workers

__all__ = [
    "BayesianOptimization",
    "CustomModelConfig",
    "GridSearch",
    "HyperDeepRNN",
    "Hyperband",
    "RandomSearch",
    "StudyTuner",
    "TunedForecaster",
    "Workers",
    "optuna_objective",
    "tuner",
]
