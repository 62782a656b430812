from .averaging import NTASGD, EMAWeights
from .distribution import distribute
from .learning_rate import LearningRate
from .metrics import BitsPerCharacter, Perplexity
from .non_finite import NonFiniteGuard
from .range_test import learning_rate_range_test
from .recipe import Recipe
from .resume import Resume
from .schedules import CosineDecay, GeometricDecay, PlateauDecay, StepDecay

__all__ = [
    "NTASGD",
    "BitsPerCharacter",
    "CosineDecay",
    "EMAWeights",
    "GeometricDecay",
    "LearningRate",
    "NonFiniteGuard",
    "Perplexity",
    "PlateauDecay",
    "Recipe",
    "Resume",
    "StepDecay",
    "distribute",
    "learning_rate_range_test",
]
