"""Recurrent layers in C on a CPU: nothing is compiled at run time, and results do not depend on batch, T, or threads.

- `src/`: the C code; built at installation into one library with code for AVX-512, AVX2, and any other CPU.
- `library.py`: loads the library; says why it is missing.
- `sequences.py`: a layer's forward and backward pass on NumPy arrays.
- `programs.py`, `sampling.py`: structures for programs, which are executed step by step, and for the sampling of ids.
- `tensorflow.py`, `jax.py`, `torch.py`: the same as differentiable operations of a backend. JAX calls the library
  through `xla_ffi.py`.
- `stack.py`: runs a stack or a layer (`run_stack`, `run_layer`) on the current backend.
"""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Machine, Traits
from deeprnn_keras.kernels.unsupported import (
    describe_activation,
    per_gate_dropout_reasons,
    reason_unless,
    recurrent_dropout_reasons,
)

SUPPORTED_ACTIVATIONS = ("hard_sigmoid", "linear", "relu", "sigmoid", "tanh")


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return the reasons why the native code does not support a layer; empty if it does."""
    if traits.cell is None:
        return [f"the native code supports RNN, GRU, and LSTM, not {traits.type_name}"]
    activations = {"activation": traits.activation}
    if traits.cell in ("gru", "lstm"):
        activations["recurrent_activation"] = traits.recurrent_activation
    unsupported_activations = [
        f"{describe_activation(argument, name)}: the native code supports {', '.join(SUPPORTED_ACTIVATIONS)}"
        for argument, name in activations.items()
        if name not in SUPPORTED_ACTIVATIONS
    ]
    return [
        *unsupported_activations,
        *reason_unless(not traits.unroll, "unroll=True requires the loop"),
        *reason_unless(traits.compute_dtype != "float64", "dtype float64: the native code computes in float32"),
        *recurrent_dropout_reasons(traits, "the native code"),
        *per_gate_dropout_reasons(traits, "the native code"),
    ]


def machine_reasons(machine: Machine) -> list[str]:
    """Return the reasons why the native code cannot run in the current process or in the graph being traced."""
    return [
        *([machine.native_missing] if machine.native_missing else []),
        *reason_unless(
            not machine.exporting,
            "a graph that is exported to a file can hold operations of its framework only, no native code",
        ),
        *reason_unless(not machine.compiled_by_xla, "jit_compile=True: XLA cannot compile a call of native code"),
        *reason_unless(not machine.compiled_by_torch, "torch.compile and torch.export cannot compile native code"),
        *reason_unless(
            machine.backend == "tensorflow" or not machine.gpu,
            f"on the {machine.backend} backend, the native code runs only if Keras' default device is a CPU",
        ),
    ]


IMPLEMENTATION = Implementation(
    name="native",
    preference=20,
    backends=("tensorflow", "jax", "torch"),
    device="cpu",
    unsupported_reasons=unsupported_reasons,
    machine_reasons=machine_reasons,
    layer_runner="deeprnn_keras.kernels.native.stack:run_layer",
    stack_runner="deeprnn_keras.kernels.native.stack:run_stack",
)
