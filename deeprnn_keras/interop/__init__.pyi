from .conversion import ConversionError, ConversionReport, Replacement, convert, to_keras
from .loading import inspect, load
from .report import Entry, Report

__all__ = [
    "ConversionError",
    "ConversionReport",
    "Entry",
    "Replacement",
    "Report",
    "convert",
    "inspect",
    "load",
    "to_keras",
]
