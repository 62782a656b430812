"""Sampling of ids from logits by the native library; see src/sampling.c."""

from __future__ import annotations

import ctypes
import functools

from deeprnn_keras.kernels.native import library

_INT64, _UINT64, _DOUBLE, _POINTER = ctypes.c_int64, ctypes.c_uint64, ctypes.c_double, ctypes.c_void_p


class Sampler(ctypes.Structure):
    """State of the sampling of n rows; see `deeprnn_sampler` in src/sampling.h."""

    _fields_ = [
        *[(name, _INT64) for name in ("n", "V")],
        *[(name, _DOUBLE) for name in ("temperature", "top_p", "min_p", "repetition_penalty")],
        ("top_k", _INT64),
        *[(name, _UINT64) for name in ("seed", "position")],
        *[(name, _POINTER) for name in ("rows", "logits", "seen", "ids", "weights", "order")],
    ]


@functools.cache
def functions() -> ctypes.CDLL:
    """Return the library with the declarations of its functions for sampling."""
    loaded = library.load()
    loaded.deeprnn_sample.argtypes = [ctypes.POINTER(Sampler)]
    loaded.deeprnn_generate.argtypes = [_POINTER, ctypes.POINTER(Sampler), _INT64, _POINTER]
    loaded.deeprnn_draw.argtypes, loaded.deeprnn_draw.restype = [_POINTER, _INT64, _DOUBLE], _INT64
    loaded.deeprnn_philox.argtypes, loaded.deeprnn_philox.restype = [_POINTER] * 3, None
    return loaded
