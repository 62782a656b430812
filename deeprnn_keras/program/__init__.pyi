from .lowering import lower
from .program import Program

__all__ = ["Program", "lower"]
