"""Inspection of models: implementations of recurrent layers, gradient health, and linear probes of a stack."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
