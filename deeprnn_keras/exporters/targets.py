"""The targets of `export`, by format and by suffix. A target is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from deeprnn_keras import checks
from deeprnn_keras.exporters.target import Target

_MODULES = {
    "c": (".c", "deeprnn_keras.exporters.c_source.target", "CTarget"),
    "numpy": (".py", "deeprnn_keras.exporters.numpy_source.target", "NumPyTarget"),
    "litert": (".tflite", "deeprnn_keras.exporters.litert_file.target", "LiteRTTarget"),
    "onnx": (".onnx", "deeprnn_keras.exporters.onnx_file.target", "ONNXTarget"),
    "nam": (".nam", "deeprnn_keras.exporters.plugin_files.nam", "NAMTarget"),
    "rtneural": (".json", "deeprnn_keras.exporters.plugin_files.rtneural", "RTNeuralTarget"),
    "savedmodel": ("", "deeprnn_keras.exporters.saved_model.target", "SavedModelTarget"),
}
"""{format: (suffix, module, class)}; the suffix of a directory is empty."""

FORMATS = tuple(_MODULES)


def find_target(path: Path, format: str | None) -> Target:
    """Return the target for a path.

    Args:
        path: Path of the file to write.
        format: Name of the format, or None to select it by the suffix.

    Raises:
        ValueError: If no target has the name or the suffix.
    """
    if format is None:
        found = [name for name, (suffix, _, _) in _MODULES.items() if suffix == path.suffix.lower()]
        if not found:
            suffixes = ", ".join(f"{suffix or 'no suffix'} ({name})" for name, (suffix, _, _) in _MODULES.items())
            raise ValueError(
                f"path {str(path)!r} has the suffix {path.suffix!r}, which is not that of a format; supported are "
                f"{suffixes}; rename the file or pass format="
            )
        format = found[0]
    _, module, name = _MODULES[checks.one_of("format", format, FORMATS)]
    return getattr(import_module(module), name)()
