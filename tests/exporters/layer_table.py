"""Tables of docs/export.md, layer by format, made from files of small models.

`python tests/exporters/layer_table.py` rewrites the page; `test_layer_table.py` compares it.
"""

import re
import tempfile
from functools import partial
from pathlib import Path

import keras

from deeprnn_keras import RNN, DeepRNN, RecurrentCell, export, lower
from deeprnn_keras.equations.standard import SimpleRNNEquations
from deeprnn_keras.exporters.targets import find_target
from deeprnn_keras.layers import AddDryChannel
from deeprnn_keras.layers.dropout_embedding import DropoutEmbedding
from deeprnn_keras.layers.one_hot import OneHot
from deeprnn_keras.layers.per_step import DeepInput, DeepOutput
from deeprnn_keras.layers.tied_head import TiedHead
from deeprnn_keras.program.operations import Recurrence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
BEGIN, END = "<!-- python tests/exporters/layer_table.py -->\n", "<!-- end -->\n"
FORMATS = ("c", "numpy", "onnx", "litert", "savedmodel")
D, H = 3, 4
K = keras.layers

FUSED = re.compile("(BIDIRECTIONAL|UNIDIRECTIONAL)_SEQUENCE_.*|LSTM|GRU|RNN|DynamicQuantizeLSTM")
LOOPS = re.compile("Scan|Loop|WHILE|While|StatelessWhile")
LOOPS_IN_SOURCE = {"c": "for (t = 0; t < steps; t++)", "numpy": "scan("}


class UserDefinedCell(RecurrentCell):
    equations_class = SimpleRNNEquations


# === Models ===


def sequence(*layers):
    return keras.Sequential([keras.Input((None, D)), *layers])


def recurrent(layer, **options):
    return sequence(layer(H, return_sequences=True, **options))


def deep(cell="lstm", num_layers=1, **options):
    options = {"return_sequences": True, "implementation": "loop", **options}
    return sequence(DeepRNN(H, num_layers, cell, **options))


def of_ids(layer):
    return keras.Sequential([keras.Input((None,), dtype="int32"), layer])


def tied_head():
    embedding = K.Embedding(5, D)
    return keras.Sequential([keras.Input((None,), dtype="int32"), embedding, TiedHead(embedding, D)])


def branches(layer):
    x = keras.Input((None, D))
    return keras.Model(x, layer([x, K.Activation("tanh")(x)]))


def with_dry_channel():
    x = keras.Input((None, D))
    return keras.Model(x, AddDryChannel()([x, K.Dense(1)(x)]))


def bidirectional(layer):
    return sequence(K.Bidirectional(layer(H, return_sequences=True)))


ROWS = {
    "LSTM": partial(recurrent, K.LSTM),
    "LSTM with hard_sigmoid gates": partial(recurrent, K.LSTM, recurrent_activation="hard_sigmoid"),
    "LSTM with silu": partial(recurrent, K.LSTM, activation="silu"),
    "GRU": partial(recurrent, K.GRU),
    "GRU with reset_after=False": partial(recurrent, K.GRU, reset_after=False),
    "GRU with silu": partial(recurrent, K.GRU, activation="silu"),
    "SimpleRNN with tanh, relu, or linear": partial(recurrent, K.SimpleRNN),
    "SimpleRNN with sigmoid or hard_sigmoid": partial(recurrent, K.SimpleRNN, activation="sigmoid"),
    "SimpleRNN with silu": partial(recurrent, K.SimpleRNN, activation="silu"),
    "RNN of several LSTMCells": lambda: sequence(K.RNN([K.LSTMCell(H), K.LSTMCell(H)], return_sequences=True)),
    "Bidirectional LSTM": partial(bidirectional, K.LSTM),
    "Bidirectional GRU": partial(bidirectional, K.GRU),
    "Bidirectional SimpleRNN": partial(bidirectional, K.SimpleRNN),
    "LSTM with go_backwards": partial(recurrent, K.LSTM, go_backwards=True),
    "`lstm`": deep,
    "`gru`": partial(deep, "gru"),
    "`rnn`": partial(deep, "rnn"),
    **{
        f"`{cell}`": partial(deep, cell)
        for cell in (
            *("mlp_gate_rnn", "mlp_gate_gru", "mlp_gate_lstm", "rhn"),
            *("deep_transition_rnn", "deep_transition_gru", "deep_transition_lstm"),
        )
    },
    "user-defined cells with equations": lambda: sequence(RNN(UserDefinedCell(H), return_sequences=True)),
    "residual or skip connections of DeepRNN": partial(deep, num_layers=2, connection="skip"),
    "bidirectional `lstm`": partial(deep, bidirectional=True),
    "`lstm` with dilation": partial(deep, dilation=2),
    "return_sequences=False of `lstm`": partial(deep, return_sequences=False),
    "Embedding": lambda: of_ids(K.Embedding(5, D)),
    "DropoutEmbedding": lambda: of_ids(DropoutEmbedding(5, D)),
    "OneHot": lambda: of_ids(OneHot(5)),
    "TiedHead": tied_head,
    "Dense": lambda: sequence(K.Dense(2)),
    "DeepInput, DeepOutput": lambda: sequence(DeepInput(4), DeepOutput(2)),
    "TimeDistributed": lambda: sequence(K.TimeDistributed(K.Dense(2))),
    "Activation": lambda: sequence(K.Activation("silu")),
    "Softmax": lambda: sequence(K.Softmax()),
    "ReLU": lambda: sequence(K.ReLU(max_value=6)),
    "LeakyReLU": lambda: sequence(K.LeakyReLU()),
    "ELU": lambda: sequence(K.ELU()),
    "Rescaling": lambda: sequence(K.Rescaling(2.0)),
    "Normalization": lambda: sequence(K.Normalization(mean=[1.0] * D, variance=[2.0] * D)),
    "BatchNormalization": lambda: sequence(K.BatchNormalization()),
    "LayerNormalization": lambda: sequence(K.LayerNormalization()),
    "RMSNormalization": lambda: sequence(K.RMSNormalization()),
    "Dropout, noise, Identity": lambda: sequence(K.Dropout(0.5)),
    "Concatenate": lambda: branches(K.Concatenate()),
    "Add": lambda: branches(K.Add()),
    "AddDryChannel": with_dry_channel,
    "Average": lambda: branches(K.Average()),
    "Subtract": lambda: branches(K.Subtract()),
    "convolution, pooling, attention, and other layers that combine steps": lambda: sequence(K.Conv1D(2, 3)),
}

# === Tables ===

TABLES = {
    "Whole sequences": {},
    "Single steps (`streaming=True`)": {"streaming": True},
    'Recurrent layers with 8 bits (`quantize="int8"`)': {"quantize": "int8"},
}


def form(program, format, directory, **options):
    """Return how a file executes a program: fused, loop, arithmetic, or refused; "yes" for a quantized file."""
    target = find_target(directory, format)
    try:
        report = export(
            *(program, directory / f"model{target.suffix}"), format=format, verify=False, overwrite=True, **options
        )
    except ValueError:
        return "refused"
    if "quantize" in options:
        return "yes"
    if format in LOOPS_IN_SOURCE:
        is_loop = LOOPS_IN_SOURCE[format] in report.path.read_text(encoding="utf-8")
        is_step = format == "c" and options.get("streaming")  # the loop is in NAME_run, which calls NAME_step
        return "loop" if is_loop and not is_step else "arithmetic"
    fused = [f"`{name}`" for name in report.operators if FUSED.fullmatch(name)]
    loops = [f"`{name}`" for name in report.operators if LOOPS.fullmatch(name)]
    parts = [f"fused ({', '.join(fused)})"] * bool(fused) + [f"loop ({', '.join(loops)})"] * bool(loops)
    return ", ".join(parts) or "arithmetic"


def forms(program, directory):
    """Return {title of a table: forms of a program in all formats}; 8 bits are those of recurrent layers."""
    is_recurrent = any(isinstance(one, Recurrence) for one in program.operations)
    return {
        title: tuple(form(program, format, directory, **options) for format in FORMATS)
        for title, options in TABLES.items()
        if is_recurrent or "quantize" not in options
    }


def all_forms():
    """Return {row: {title of a table: forms}}."""
    results = {}
    for row, make in ROWS.items():
        try:
            program = lower(make())
        except ValueError:
            refused = ("refused",) * len(FORMATS)
            results[row] = {title: refused for title, options in TABLES.items() if "quantize" not in options}
            continue
        with tempfile.TemporaryDirectory() as directory:
            results[row] = forms(program, Path(directory))
    return results


def table(title, results):
    """Return a table; rows with the same forms are one."""
    rows = {}
    for row, found in results.items():
        if title in found:
            rows.setdefault(found[title], []).append(row)
    titles = [find_target(PAGE, format).title for format in FORMATS]
    lines = [f"| {title} | {' | '.join(titles)} |", "|---" * (1 + len(FORMATS)) + "|"]
    lines += [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in rows.items()]
    return "\n".join(lines) + "\n"


def tables():
    """Return the text of all tables."""
    results = all_forms()
    return "\n".join(table(title, results) for title in TABLES)


def split_page():
    """Return the parts of the page before, in, and after the tables."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after


if __name__ == "__main__":
    before, _, after = split_page()
    PAGE.write_text(f"{before}{BEGIN}{tables()}{END}{after}", encoding="utf-8")
