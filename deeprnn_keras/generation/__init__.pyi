from .notes import generate_notes
from .sampling import generate
from .scoring import Score, score
from .stepwise import with_state

__all__ = [
    "Score",
    "generate",
    "generate_notes",
    "score",
    "with_state",
]
