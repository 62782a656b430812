"""Task families: one object per kind of task, which the command line, the zoo, and the tuner use."""

from deeprnn_keras.tasks.family import EvaluationRecord, Family
from deeprnn_keras.tasks.registry import families, register
from deeprnn_keras.tasks.run import Plan, Run, Split
from deeprnn_keras.tasks.sequence import SequenceFamily

__all__ = [
    "EvaluationRecord",
    "Family",
    "Plan",
    "Run",
    "SequenceFamily",
    "Split",
    "families",
    "register",
]
