from .exporting import export
from .report import ExportReport

__all__ = ["ExportReport", "export"]
