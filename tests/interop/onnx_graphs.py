"""ONNX files for tests, written node by node."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
D, H, V = 3, 5, 7


def random(*shape, dtype="float32", scale=0.5):
    return np.random.default_rng(sum(shape)).normal(size=shape, scale=scale).astype(dtype)


def recurrent_arrays(operator, inputs, units=H, directions=1, bias=True):
    """Return the weights of a recurrent node by their names in the specification."""
    rows = GATES[operator] * units
    arrays = {"W": random(directions, rows, inputs), "R": random(directions, rows, units)}
    return {**arrays, **({"B": random(directions, 2 * rows)} if bias else {})}


def write(path, nodes, constants, x=("x", [None, None, D]), outputs=("y",), ids=False, opset=17, **options):
    """Write a graph and return the path.

    `nodes` are (operator, inputs, outputs, attributes).
    """
    made = [helper.make_node(op, ins, outs, name=outs[-1], **attributes) for op, ins, outs, attributes in nodes]
    kind = TensorProto.INT64 if ids else options.get("dtype", TensorProto.FLOAT)
    infos = [helper.make_tensor_value_info(x[0], kind, x[1])]
    infos += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in options.get("inputs", ())]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    tensors = [
        array if isinstance(array, TensorProto) else numpy_helper.from_array(np.asarray(array, order="C"), name)
        for name, array in constants.items()
    ]
    graph = helper.make_graph(made, "graph", infos, results, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def one_layer(path, operator, direction="forward", layout=0, bias=True, output="Y", **attributes):
    """Write one recurrent node that reads the input as it is, and return the path."""
    arrays = recurrent_arrays(operator, D, directions=1 + (direction == "bidirectional"), bias=bias)
    inputs = ["x", *arrays]
    attributes = {"hidden_size": H, "direction": direction, **({"layout": 1} if layout else {}), **attributes}
    outputs = ["y"] if output == "Y" else ["", "y"]
    node = helper.make_node(operator, inputs, outputs, name="layer", **attributes)
    return write_nodes(path, [node], arrays)


def write_nodes(path, nodes, constants, outputs=("y",)):
    """Write a graph of `NodeProto`s and return the path."""
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, D])]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", infos, results, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def classifier(path, **changes):
    """Write an embedding, two bidirectional LSTMs, and a head over the last states, as PyTorch's exporter does.

    `changes` are constants that replace or, if None, remove those of the file.
    """
    lower = {f"{key}1": value for key, value in recurrent_arrays("LSTM", 4, directions=2).items()}
    upper = {f"{key}2": value for key, value in recurrent_arrays("LSTM", 2 * H, directions=2).items()}
    constants = {
        "table": random(V, 4),
        **lower,
        **upper,
        "one": np.array([1]),
        "pair": np.array([2]),
        "units": np.array([H]),
        "joined": np.array([0, 0, -1]),
        "head": random(6, 2 * H),
        "head_bias": random(6),
        "last": np.array(-1),
        "second_last": np.array(-2),
    }
    nodes = [
        ("Gather", ["table", "x"], ["embedded"], {}),
        ("Transpose", ["embedded"], ["t"], {"perm": [1, 0, 2]}),
        ("Shape", ["t"], ["shape"], {}),
        ("Gather", ["shape", "one"], ["n"], {"axis": 0}),
        ("Concat", ["pair", "n", "units"], ["state_shape"], {"axis": 0}),
        ("ConstantOfShape", ["state_shape"], ["zeros"], {}),
        (
            "LSTM",
            ["t", "W1", "R1", "B1", "", "zeros", "zeros"],
            ["Y1"],
            {"hidden_size": H, "direction": "bidirectional"},
        ),
        ("Transpose", ["Y1"], ["Y1t"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["Y1t", "joined"], ["y1"], {}),
        ("LSTM", ["y1", "W2", "R2", "B2"], ["", "h"], {"hidden_size": H, "direction": "bidirectional"}),
        ("Gather", ["h", "second_last"], ["h_forward"], {"axis": 0}),
        ("Gather", ["h", "last"], ["h_backward"], {"axis": 0}),
        ("Concat", ["h_forward", "h_backward"], ["features"], {"axis": 1}),
        ("Gemm", ["features", "head", "head_bias"], ["logits"], {"transB": 1}),
        ("Softmax", ["logits"], ["y"], {"axis": 1}),
    ]
    constants = {name: value for name, value in (constants | changes).items() if value is not None}
    return write(path, nodes, constants, ("x", [None, None]), ids=True)
