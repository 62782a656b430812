from .exporting import export
from .report import ExportReport
from .target import Options, Runner, Target

__all__ = ["ExportReport", "Options", "Runner", "Target", "export"]
