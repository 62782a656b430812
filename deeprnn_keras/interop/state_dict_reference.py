"""Reference of a PyTorch state dict: its modules, run by PyTorch or by the documented equations in NumPy."""

from __future__ import annotations

from deeprnn_keras.interop.arrays import Arrays
from deeprnn_keras.interop.references.pytorch import Embedding, Linear, Recurrent, Stage, pytorch_reference
from deeprnn_keras.interop.source import Reference
from deeprnn_keras.interop.state_dict_plan import PlannedModel, PlannedStack
from deeprnn_keras.interop.torch_names import TITLES


def make_reference(arrays: Arrays, plan: PlannedModel) -> Reference:
    """Return the reference of a planned model.

    Args:
        arrays: The arrays of the state dict.
        plan: The model.
    """
    stages: list[Stage] = []
    if plan.embedding is not None:
        stages.append(Embedding("embedding", arrays.read(plan.embedding.entry("weight"))))
    for stack in plan.stacks:
        stages += [_recurrent(arrays, stack, index) for index in range(len(stack.modules))]
    if plan.head is not None:
        # a tied head may have no weight of its own
        matrix = plan.embedding if plan.tied and plan.embedding is not None else plan.head
        bias = arrays.read(plan.head.entry("bias")) if plan.head.has_bias else None
        stages.append(Linear("head", arrays.read(matrix.entry("weight")), bias))
    return pytorch_reference(stages)


def _recurrent(arrays: Arrays, stack: PlannedStack, index: int) -> Recurrent:
    """Return one module of a stack; only the output of the last one is that of a layer of the Keras model."""
    module = stack.modules[index]
    is_last = index == len(stack.modules) - 1
    name = stack.name if is_last else f"module {module.name}"
    layers = [
        [{leaf: arrays.read(name) for leaf, name in direction.items()} for direction in level]
        for level in module.levels
    ]
    return Recurrent(
        name, TITLES[stack.cell].lower(), layers, stack.activation or "tanh", stack.return_sequences or not is_last
    )
