from .evaluation import Evaluation
from .forecaster import Forecaster
from .likelihoods import Gaussian, Likelihood, NegativeBinomial, PointForecast, Quantiles, StudentT
from .origins import OriginWindows
from .zero_shot import ZeroShotForecaster

__all__ = [
    "Evaluation",
    "Forecaster",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "OriginWindows",
    "PointForecast",
    "Quantiles",
    "StudentT",
    "ZeroShotForecaster",
]
