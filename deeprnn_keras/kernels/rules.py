"""Which kernels can run a recurrent layer, and what stands in the way, in words. Nothing here looks at the machine."""

from dataclasses import dataclass, fields

KERNELS = ("cudnn", "xla", "loop")
FOR_CPUS = "the fused kernel is for CPUs"
FUSED_ACTIVATIONS = (
    "elu",
    "exponential",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "relu",
    "sigmoid",
    "softplus",
    "softsign",
    "tanh",
)


@dataclass(frozen=True)
class Traits:
    """What the choice of a kernel depends on.

    Attributes:
        cell: "rnn", "gru", "lstm", or None for any other cell.
        activation, recurrent_activation: Keras' name, or None for a function that has none.
        dropout, recurrent_dropout: rates on x and on the state.
        implementation: Keras' argument; 1 keeps a product, and a dropout mask, for each gate.
        reset_after: of a GRU.
        type_name: the class of the cell, for the words.
        written: the cell is written as equations.
        general: the layer is our `RNN`, which runs any cell.
    """

    cell: str | None
    activation: str | None = "tanh"
    recurrent_activation: str | None = "sigmoid"
    use_bias: bool = True
    unroll: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    implementation: int = 2
    reset_after: bool = True
    type_name: str = ""
    written: bool = False
    general: bool = False


def traits(layer):
    """The `Traits` of a Keras recurrent layer, stock or ours."""
    cell = layer.cell
    name = {"SimpleRNNCell": "rnn", "GRUCell": "gru", "LSTMCell": "lstm"}.get(type(cell).__name__)
    if not type(cell).__module__.startswith("keras."):
        name = None
    found = {"cell": name, "unroll": bool(getattr(layer, "unroll", False)), "type_name": type(cell).__name__}
    found["general"] = getattr(layer, "general", False)
    if hasattr(cell, "equations"):
        found["type_name"] = type(cell.equations).__name__
        return Traits(**found, written=True, recurrent_dropout=cell.recurrent_dropout)
    if name is None:
        return Traits(**found)
    for field in fields(Traits):
        if field.name not in found and hasattr(cell, field.name):
            value = getattr(cell, field.name)
            found[field.name] = activation_name(value) if field.name.endswith("activation") else value
    return Traits(**found)


def activation_name(function):
    """Keras' name of an activation function, one of `keras.activations` or `keras.ops`, or None."""
    import keras

    name = getattr(function, "__name__", "")
    homes = (keras.activations, keras.ops) if name in ("tanh", "sigmoid") else (keras.activations,)
    return name if name and any(getattr(home, name, None) is function for home in homes) else None


def cudnn_obstacles(traits):
    """What rules out Keras' cuDNN path, a list of reasons; empty where nothing does."""
    if traits.cell is None:
        return [f"cuDNN knows LSTM and GRU, not {traits.type_name}"]
    if traits.cell == "rnn":
        return ["Keras has no cuDNN path for a plain RNN"]
    if traits.general:
        return [f"RNN steps through its {traits.type_name}; the layer {traits.cell.upper()} can have cuDNN"]
    return [
        *_unless(traits.activation == "tanh", f"activation={_shown(traits.activation)}: cuDNN has tanh only"),
        *_unless(
            traits.recurrent_activation == "sigmoid",
            f"recurrent_activation={_shown(traits.recurrent_activation)}: cuDNN has sigmoid only",
        ),
        *_unless(traits.use_bias, "use_bias=False: cuDNN wants a bias"),
        *_unless(not traits.unroll, "unroll=True asks for the loop written out"),
        *_unless(
            traits.cell != "gru" or traits.reset_after,
            "reset_after=False: cuDNN's GRU applies the reset gate after the product",
        ),
        *_recurrent_dropout(traits, "cuDNN"),
        *_dropout_per_gate(traits, "cuDNN"),
    ]


def fused_obstacles(traits):
    """What rules out the fused kernel, a list of reasons; empty where nothing does."""
    if traits.cell is None and not traits.written:
        return [f"the fused kernel knows cells written as equations, RNN, GRU and LSTM, not {traits.type_name}"]
    names = {} if traits.written else {"activation": traits.activation}
    if traits.cell in ("gru", "lstm"):
        names["recurrent_activation"] = traits.recurrent_activation
    wrong = [
        f"{argument}={_shown(name)}: the fused kernel needs a slope that follows from the value, as those of "
        f"{', '.join(FUSED_ACTIVATIONS)} do"
        for argument, name in names.items()
        if name not in FUSED_ACTIVATIONS
    ]
    return [
        *wrong,
        *_unless(not traits.unroll, "unroll=True asks for the loop written out"),
        *_recurrent_dropout(traits, "the fused kernel"),
        *_dropout_per_gate(traits, "the fused kernel"),
    ]


def _unless(fine, reason):
    return [] if fine else [reason]


def _shown(name):
    return repr(name) if name else "a function of your own"


def _recurrent_dropout(traits, kernel):
    return _unless(
        not traits.recurrent_dropout,
        f"recurrent_dropout={traits.recurrent_dropout:g} rules out {kernel}; "
        "dropping weights of the recurrent kernel once per batch (weight_drop) keeps it",
    )


def _dropout_per_gate(traits, kernel):
    fine = traits.implementation != 1 or not traits.dropout or traits.cell == "rnn"
    return _unless(fine, f"dropout={traits.dropout:g} with implementation=1 drops per gate, {kernel} once for all")
