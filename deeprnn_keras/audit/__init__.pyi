from .health import gradient_health
from .health_callback import GradientHealth
from .kernels import explain_kernels
from .probe import probe_levels

__all__ = [
    "GradientHealth",
    "explain_kernels",
    "gradient_health",
    "probe_levels",
]
