from .evaluation import Evaluation
from .forecaster import Forecaster
from .likelihoods import Gaussian, Likelihood, NegativeBinomial, PointForecast, Quantiles, StudentT
from .zero_shot import ZeroShotForecaster

__all__ = [
    "Evaluation",
    "Forecaster",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "PointForecast",
    "Quantiles",
    "StudentT",
    "ZeroShotForecaster",
]
