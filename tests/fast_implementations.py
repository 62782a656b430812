"""The fast implementations on a CPU: native code, if the library was built, and XLA."""

import pytest

from deeprnn_keras.kernels.native import library

NATIVE_MISSING = library.unavailable_reason()
FASTEST = "xla" if NATIVE_MISSING else "native"
NATIVE = pytest.param("native", marks=pytest.mark.skipif(NATIVE_MISSING is not None, reason=str(NATIVE_MISSING)))
each_fast_implementation = pytest.mark.parametrize("implementation", [NATIVE, "xla"])
