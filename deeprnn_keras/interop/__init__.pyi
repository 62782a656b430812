from .loading import inspect, load
from .report import Entry, Report

__all__ = ["Entry", "Report", "inspect", "load"]
