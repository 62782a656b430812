from .certificate import Certificate
from .loading import inspect, load
from .report import Entry, Report
from .torch_layers import to_torch
from .verification import verify

__all__ = ["Certificate", "Entry", "Report", "inspect", "load", "to_torch", "verify"]
