"""Order of reads and writes of variables in an update.

A read and a write of the same variable must be ordered. Otherwise, one of several thousand updates computes a gradient
from weights that are already updated. The tests check the graph that runs, after TensorFlow's optimizations, which
remove edges.
"""

from collections import Counter

import keras
import pytest
import tensorflow as tf

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN, SimpleRNN
from deeprnn_keras.cells import RHNCell
from deeprnn_keras.specs import CELLS

N, T, D = 4, 4, 3
READS = ("ReadVariableOp", "ResourceGather")
WRITES = ("Assign", "ResourceApply", "ResourceScatter")
HANDLES = ("_Arg", "Placeholder")
FORWARDING = ("Identity", "Enter", "Switch", "Merge")  # pass a variable on, for example into a loop
SHAPES = ("VariableShape",)  # the shapes of weights are constant


# === Graphs ===


def optimized_graph(run, directory):
    """Return the graph with the most writes among those that `run` executes, after the optimizations."""
    writer = tf.summary.create_file_writer(str(directory))
    tf.summary.trace_on(graph=True)
    try:
        run()
        with writer.as_default():
            tf.summary.trace_export("graphs", step=0)
    finally:
        tf.summary.trace_off()
        writer.close()
    metadata = tf.compat.v1.RunMetadata()
    for record in tf.data.TFRecordDataset([str(path) for path in directory.iterdir()]):
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
            metadata.MergeFromString(value.tensor.string_val[0])
    graphs = [graphs.post_optimization_graph for graphs in metadata.function_graphs]
    return max(graphs, key=lambda graph: sum(node.op.startswith(WRITES) for node in graph.node))


def node_name(edge):
    return edge.lstrip("^").split(":")[0]


class Accesses:
    """Reads and writes of each variable in a graph, by the names of the operations."""

    def __init__(self, graph):
        self.nodes = {node.name: node for node in graph.node}
        self.inputs = {node.name: [node_name(edge) for edge in node.input] for node in graph.node}
        self.reads, self.writes = {}, {}
        for node in graph.node:
            for edge in node.input:
                variable = None if edge.startswith("^") else self.variable(node_name(edge))
                if variable is not None and node.op not in (*FORWARDING, *SHAPES):
                    assert node.op in READS or node.op.startswith(WRITES), f"{node.op} of a variable is not analyzed"
                    accesses = self.reads if node.op in READS else self.writes
                    accesses.setdefault(variable, []).append(node.name)

    def variable(self, name):
        """Return the variable whose handle an operation passes on, or None."""
        while self.nodes[name].op in FORWARDING:
            name = self.inputs[name][0]
        node = self.nodes[name]
        handle_type = node.attr["T" if node.op == "_Arg" else "dtype"].type
        return name if node.op in HANDLES and handle_type == tf.resource.as_datatype_enum else None

    def before(self, name):
        """Return the operations that an operation waits for."""
        seen, pending = set(), [name]
        while pending:
            new = set(self.inputs[pending.pop()]) - seen
            seen |= new
            pending += new
        return seen

    def branches(self, name):
        """Return {(predicate, output of a Switch)} on which an operation depends."""
        edges = [edge for ancestor in {name} | self.before(name) for edge in self.nodes[ancestor].input]
        switches = [edge for edge in edges if self.nodes[node_name(edge)].op == "Switch"]
        return {(self.inputs[node_name(edge)][1], edge.endswith(":1")) for edge in switches}

    def are_exclusive(self, first, second):
        """Return whether two operations are in different branches of a conditional."""
        others = self.branches(second)
        return any(
            (predicate, not taken) in others and (predicate, taken) not in others
            for predicate, taken in self.branches(first) - {(p, not t) for p, t in self.branches(first)}
        )

    def unordered(self):
        """Return (read or write, write) of the same variable if both can run and neither waits for the other."""
        pairs = [
            (access, write)
            for variable, writes in self.writes.items()
            for k, write in enumerate(writes)
            for access in self.reads.get(variable, []) + writes[:k]
        ]
        before = {name: self.before(name) for name in {name for pair in pairs for name in pair}}
        return [
            (first, second)
            for first, second in pairs
            if first not in before[second] and second not in before[first] and not self.are_exclusive(first, second)
        ]

    def reads_of_weights(self):
        """Return {number of reads: number of weights}; SGD updates weights by AssignSubVariableOp."""
        weights = [
            variable
            for variable, writes in self.writes.items()
            if any(self.nodes[name].op == "AssignSubVariableOp" for name in writes)
        ]
        return Counter(len(self.reads.get(variable, [])) for variable in weights)


def build_model(layers, optimizer=None):
    model = keras.Sequential([keras.Input(batch_shape=(N, T, D)), *layers, keras.layers.Dense(1)])
    # without a global norm, which would make every write wait for every gradient
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mse")
    return model


def batch(rng, model):
    return rng.normal(size=(N, T, D)).astype("float32"), rng.normal(size=model.output_shape).astype("float32")


def expected_reads(model):
    """Return {number of reads: number of weights}: one, and that of the updated weight by its constraint."""
    return Counter(1 + (weight.constraint is not None) for weight in model.trainable_weights)


def assert_ordered(rng, layers, directory, optimizer=None, one_read=True):
    model = build_model(layers, optimizer)
    accesses = Accesses(optimized_graph(lambda: model.train_on_batch(*batch(rng, model)), directory))
    assert accesses.unordered() == []
    reads, num_weights = accesses.reads_of_weights(), len(model.trainable_weights)
    assert sum(reads.values()) == num_weights
    assert not one_read or reads == expected_reads(model), f"number of weights by number of reads: {dict(reads)}"


# === Layers ===

CELL_NAMES = [cell.name for cell in CELLS if cell.constructor is None or isinstance(cell.constructor, str)]
CONNECTIONS = [{"connection": "stack"}, {"connection": "residual"}, {"connection": "skip"}, {"bidirectional": True}]
OPTIONS = [
    {"dropout": 0.5},
    {"dtype": "mixed_float16"},
    {"dtype": "mixed_bfloat16"},
    {"ar": 1.0, "tar": 1.0, "return_sequences": True},
    {"stateful": True},
    {"remat": True},
    {"dilation": [1, 2]},
    {"go_backwards": True, "return_all_layers": False},
]
LOOP_OPTIONS = [
    {"recurrent_dropout": 0.5},
    {"implementation": "loop"},
    {"implementation": "loop", "stateful": True, "dropout": 0.5},
    {"recurrent_dropout": 0.5, "dtype": "mixed_float16"},
]
DROP_INS = {
    "LSTM": lambda **options: LSTM(3, **options),
    "GRU": lambda **options: GRU(3, **options),
    "GRU, reset before": lambda **options: GRU(3, reset_after=False, **options),
    "SimpleRNN": lambda **options: SimpleRNN(3, **options),
    "RNN, Keras cell": lambda **options: RNN(keras.layers.LSTMCell(3), **options),
    "RNN, cell with equations": lambda **options: RNN(RHNCell(3), **options),
}
SLOW_STRIDE = 6  # every sixth case is slow, the others are long


def by_tier(num_default, cases):
    """Return the cases with the first `num_default` of them in the default tier, and most of the others in `long`."""
    tiers = [() if index < num_default else _later_tier(index) for index in range(len(cases))]
    return [pytest.param(*case, marks=marks) for case, marks in zip(cases, tiers, strict=True)]


def _later_tier(index):
    return pytest.mark.long if index % SLOW_STRIDE else pytest.mark.slow


@pytest.mark.parametrize(
    ("cell", "options"),
    by_tier(
        1, [("gru", {"bidirectional": True}), *((cell, options) for cell in CELL_NAMES for options in CONNECTIONS)]
    ),
    ids=str,
)
def test_accesses_are_ordered_for_each_cell_and_connection(rng, tmp_path, cell, options):
    assert_ordered(rng, [DeepRNN(3, 2, cell, **options)], tmp_path)


@pytest.mark.parametrize(
    ("options", "cell"), by_tier(1, [(options, cell) for options in OPTIONS for cell in ("lstm", "rhn")]), ids=str
)
def test_accesses_are_ordered_for_each_option(rng, tmp_path, options, cell):
    assert_ordered(rng, [DeepRNN(3, 2, cell, **options)], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("cell", ["gru", "lstm", "rhn"])
@pytest.mark.parametrize("options", LOOP_OPTIONS, ids=str)
def test_accesses_are_ordered_in_the_loop(rng, tmp_path, options, cell):
    assert_ordered(rng, [DeepRNN(3, 2, cell, **options)], tmp_path, one_read=False)


@pytest.mark.parametrize(
    ("name", "options"),
    by_tier(1, [(name, options) for options in ({}, {"stateful": True}) for name in DROP_INS]),
    ids=str,
)
def test_accesses_are_ordered_for_drop_ins(rng, tmp_path, name, options):
    layers = [DROP_INS[name](return_sequences=True, **options), DROP_INS[name](**options)]
    assert_ordered(rng, layers, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("layer", [LSTM, GRU, SimpleRNN])
@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_accesses_are_ordered_for_drop_ins_with_dropout(rng, tmp_path, option, layer):
    layers = [layer(3, return_sequences=True, **{option: 0.5}), layer(3, **{option: 0.5})]
    assert_ordered(rng, layers, tmp_path, one_read=option == "dropout")


@pytest.mark.long
def test_accesses_are_ordered_with_loss_scaling(rng, tmp_path):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    assert_ordered(rng, [DeepRNN(3, 2, dtype="mixed_float16")], tmp_path, optimizer)


@pytest.mark.parametrize(
    ("cell", "options"),
    by_tier(
        2,
        [
            ("lstm", {"stateful": True, "dropout": 0.5}),
            ("rhn", {"connection": "skip", "ar": 1.0, "tar": 1.0, "return_sequences": True}),
            *((cell, options) for cell in CELL_NAMES for options in CONNECTIONS),
            *(("gru", options) for options in OPTIONS),
        ],
    ),
    ids=str,
)
def test_accesses_are_ordered_with_jit_compile(rng, cell, options):
    """XLA compiles the whole update from the traced graph, without the optimizations of TensorFlow."""
    model = build_model([DeepRNN(3, 2, cell, **options)])
    step = tf.function(model.train_step, jit_compile=True, autograph=False)
    accesses = Accesses(step.get_concrete_function(batch(rng, model)).graph.as_graph_def())
    assert accesses.unordered() == [] and accesses.reads_of_weights() == expected_reads(model)


# === The check ===


def test_unordered_accesses_are_found():
    variable = tf.Variable(tf.ones(2))

    @tf.function(autograph=False)
    def update(x):
        y = variable * x
        variable.assign_sub(x)
        return y

    graph = update.get_concrete_function(tf.ones(2)).graph.as_graph_def()
    assert Accesses(graph).unordered() == [] and Accesses(graph).reads_of_weights() == {1: 1}
    for node in graph.node:
        if node.op == "AssignSubVariableOp":
            data_edges = [edge for edge in node.input if not edge.startswith("^")]
            del node.input[:]
            node.input.extend(data_edges)
    ((read, write),) = Accesses(graph).unordered()
    assert read.endswith("ReadVariableOp") and write.endswith("AssignSubVariableOp")
