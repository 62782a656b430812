from .conversion import ConversionReport, Replacement, convert, to_keras
from .loading import inspect, load
from .report import Entry, Report

__all__ = [
    "ConversionReport",
    "Entry",
    "Replacement",
    "Report",
    "convert",
    "inspect",
    "load",
    "to_keras",
]
