from .continuation import generate, generate_stream
from .notes import generate_notes
from .scoring import Score, score
from .strokes import generate_strokes

__all__ = [
    "Score",
    "generate",
    "generate_notes",
    "generate_stream",
    "generate_strokes",
    "score",
]
