"""Models run step by step: with their state in hand, sampled from, and scored on text."""

from deeprnn_keras.generation.sampling import generate
from deeprnn_keras.generation.scoring import Score, score
from deeprnn_keras.generation.with_state import with_state

__all__ = ["Score", "generate", "score", "with_state"]
