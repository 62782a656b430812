from .files import metadata
from .lowering import lower
from .program import Program

__all__ = ["Program", "lower", "metadata"]
