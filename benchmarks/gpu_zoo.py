"""Operators that TensorFlow runs for a model of the zoo, beside what `explain_kernels` states. Used by `gpu.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import LanguageModel, explain_kernels, zoo

if TYPE_CHECKING:
    import keras

BATCH_SIZE, MAX_STEPS = 4, 32  # the selection of an implementation does not depend on them
TINY_UNITS, TINY_STEPS, TINY_VOCABULARY = 6, 5, 50


def trace_entry(name: str, quick: bool, seed: int) -> dict[str, Any]:
    """Return the operators of a forward pass and a training step of a model, as `predict` and `fit` run them.

    Args:
        name: Name in the zoo.
        quick: If True, build the model with 6 units and short sequences.
        seed: Random seed of weights and data.

    Returns:
        {"layers": [{"path", "claimed": implementation according to `explain_kernels` of the model, "card": of its
        card}], "jit_compile": whether Keras compiles the steps with XLA, "forward" and "train": result of `trace`}.
    """
    import keras

    from deeprnn_keras.bench import with_keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    config = tiny_configuration(name) if quick else zoo.info(name)
    model = config.build()
    x, y = random_batch(model, min(getattr(config.recipe, "bptt", None) or MAX_STEPS, MAX_STEPS), seed)
    return {
        "layers": layer_rows(model, config),
        "forward": trace_step(with_keras.predict_step(model, x)),
        "train": trace_step(with_keras.train_step(model, x, y)),
        "jit_compile": bool(model.jit_compile),
    }


def tiny_configuration(name: str) -> zoo.Configuration:
    """Return the configuration of a model with few units, symbols, and steps."""
    config = zoo.info(name)
    changes: dict[str, Any] = {"units": TINY_UNITS}
    changes |= {"length": TINY_STEPS} if config.length else {}
    changes |= {"vocabulary": TINY_VOCABULARY, "bptt": TINY_STEPS} if config.task == "language" else {}
    return config.replace(**changes)


def layer_rows(model: keras.Model, config: zoo.Configuration) -> list[dict[str, str]]:
    """Return the implementations of the recurrent layers according to the built model and to its card."""
    from deeprnn_keras.kernels.machine import has_gpu

    planned = {row.path: row.gpu_kernel if has_gpu() else row.kernel for row in explain_kernels(config)}
    rows = explain_kernels(model)
    return [{"path": row.path, "claimed": row.kernel, "card": planned.get(row.path, "none")} for row in rows]


def trace_step(step: Callable[[], object]) -> dict[str, Any]:
    """Return the operators of the third call of a step."""
    from deeprnn_keras.bench.trace import trace

    for _ in range(2):  # traces and compiles
        step()
    return trace(step)


def random_batch(model: keras.Model, steps: int, seed: int) -> tuple[Any, np.ndarray]:
    """Return random inputs, an array or a tuple of arrays, and random targets.

    Args:
        model: Model of the zoo.
        steps: Number of time steps T for models that do not fix it.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    if isinstance(model, LanguageModel):
        ids = rng.integers(model.vocabulary_size, size=(BATCH_SIZE, steps + 1)).astype("int32")
        reset_mask = np.ones(BATCH_SIZE, bool)
        inputs = (ids[:, :-1], reset_mask) if model.get_layer("deep_rnn").stateful else ids[:, :-1]
        return inputs, ids[:, 1:]
    config = model.get_config()
    shape = (BATCH_SIZE, *(size or steps for size in model.inputs[0].shape[1:]))
    if config["embedding"] is None:
        x = rng.standard_normal(shape, dtype="float32")
    else:
        x = rng.integers(TINY_VOCABULARY, size=shape)
    inputs = (x, np.ones(shape[:2], bool)) if model.masks else x
    return inputs, random_targets(model, shape[1], rng)


def random_targets(model: keras.Model, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return random targets of a `SequenceModel`: classes, binary labels, or one vector per sequence or step."""
    outputs = model.output_shape[-1]
    if model.kind == "classes":
        return rng.integers(outputs, size=BATCH_SIZE)
    if model.kind == "binary":
        return rng.integers(2, size=(BATCH_SIZE, 1))
    return rng.integers(2, size=(BATCH_SIZE, *([steps] if model.per_step else []), outputs)).astype("float32")
