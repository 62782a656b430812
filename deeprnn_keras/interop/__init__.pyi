from .certificate import Certificate
from .conversion import ConversionReport, Replacement, convert, to_keras
from .loading import inspect, load
from .report import Entry, Report
from .torch_layers import to_torch
from .verification import verify

__all__ = [
    "Certificate",
    "ConversionReport",
    "Entry",
    "Replacement",
    "Report",
    "convert",
    "inspect",
    "load",
    "to_keras",
    "to_torch",
    "verify",
]
