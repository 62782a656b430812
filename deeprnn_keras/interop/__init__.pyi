from .certificate import Certificate
from .loading import inspect, load
from .report import Entry, Report
from .verification import verify

__all__ = ["Certificate", "Entry", "Report", "inspect", "load", "verify"]
