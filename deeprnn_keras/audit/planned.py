"""The kernels of a model that is not built: from its cells and activations, by the rules alone."""

from deeprnn_keras.audit.report import KernelRow
from deeprnn_keras.kernels import rules
from deeprnn_keras.specs import named

TYPES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def planned_rows(recurrences):
    """[`KernelRow`] for [(path, cell, activation)] of our layers under TensorFlow; `kernel` is that of a CPU.

    Args:
        recurrences: cell: as in `DeepRNN`; activation: a name, a function, or None for the cell's own.
    """
    return [_row(*recurrence) for recurrence in recurrences]


def _row(path, cell, activation):
    name = rules.activation_name(activation) if callable(activation) else activation or "tanh"
    spec, options = named(cell)
    kind = TYPES.get(spec.name)
    traits = rules.Traits(
        spec.name if kind else None,
        activation=name,
        type_name=_equations(spec),
        written=spec.equations is not None,
        recurrent_dropout=options.get("recurrent_dropout", 0.0),
    )
    against_fused, against_cudnn = rules.fused_obstacles(traits), rules.cudnn_obstacles(traits)
    against_cudnn += [rules.FOR_CPUS] if against_cudnn else []
    return KernelRow(
        path,
        f"deeprnn_keras.{kind or f'RNN({_equations(spec)})'}",
        "loop" if against_fused else "xla",
        tuple(against_fused or ["a CPU, and nothing stands in the way"]),
        "loop" if against_cudnn else "cudnn",
        tuple(against_cudnn or ["a GPU, and nothing stands in the way"]),
    )


def _equations(spec):
    """The name of the equations that a cell is written as, or of the cell."""
    return spec.name if spec.equations is None else type(spec.equations(1)).__name__
