"""The kernels of a model that is not built: from its cells and activations, by the rules alone."""

from deeprnn_keras.audit.report import KernelRow
from deeprnn_keras.kernels import rules

TYPES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def planned_rows(recurrences):
    """[`KernelRow`] for [(path, cell, activation)] of our layers under TensorFlow; `kernel` is that of a CPU.

    Args:
        recurrences: cell: "rnn", "gru" or "lstm"; activation: a name, a function, or None for the cell's own.
    """
    return [_row(*recurrence) for recurrence in recurrences]


def _row(path, cell, activation):
    name = rules.activation_name(activation) if callable(activation) else activation or "tanh"
    traits = rules.Traits(cell, activation=name)
    against_fused, against_cudnn = rules.fused_obstacles(traits), rules.cudnn_obstacles(traits)
    against_cudnn += [rules.FOR_CPUS] if against_cudnn else []
    return KernelRow(
        path,
        f"deeprnn_keras.{TYPES[cell]}",
        "loop" if against_fused else "fused",
        tuple(against_fused or ["a CPU, and nothing stands in the way"]),
        "loop" if against_cudnn else "cudnn",
        tuple(against_cudnn or ["a GPU, and nothing stands in the way"]),
    )
