"""The recurrences that go by name: which gates and states each has, in which order, and how many weights.

Gates are always addressed by name; the order in which Keras concatenates them is written down only here.
"""

from dataclasses import dataclass

from deeprnn_keras.registry import Registry


@dataclass(frozen=True)
class CellSpec:
    """What is known of a recurrence without building it.

    Attributes:
        name: the name in `DeepRNN(cell=...)`.
        gates: the blocks of kernel, recurrent kernel and bias, in Keras' order.
        states: the tensors carried from step to step, the output first.
        bias_vectors: bias vectors per gate (2: input and recurrent projection have their own).
        keep_gate: the gate that, at 1, keeps the old state; None if there is none.
        write_gate: the gate that lets the candidate in, where it is not 1 - keep_gate.
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    bias_vectors: int = 1
    keep_gate: str | None = None
    write_gate: str | None = None

    def count_weights(self, inputs, units):
        """Weights of one layer: gates x (inputs x units + units^2 + bias_vectors x units)."""
        return len(self.gates) * units * (inputs + units + self.bias_vectors)


CELLS = Registry("cell")
for _spec in (
    CellSpec("rnn", gates=("candidate",), states=("h",)),
    # Keras' update gate z keeps: h' = z h + (1 - z) candidate. `reset_after=True` has two bias vectors.
    CellSpec("gru", gates=("update", "reset", "candidate"), states=("h",), bias_vectors=2, keep_gate="update"),
    CellSpec(
        "lstm",
        gates=("input", "forget", "candidate", "output"),
        states=("h", "c"),
        keep_gate="forget",
        write_gate="input",
    ),
):
    CELLS.add(_spec.name, _spec)


def cell_spec(name):
    """The `CellSpec` called `name`; a ValueError suggests the nearest names.

    >>> from deeprnn_keras import cell_spec
    >>> cell_spec("lstm").gates
    ('input', 'forget', 'candidate', 'output')
    """
    return CELLS[name]
