"""Invalid arrays, exhausted memory, NaN, and unusable libraries."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from native_cases import CELLS, random_case, run
from native_processes import run_python

from deeprnn_keras.kernels.native import library, sequences
from deeprnn_keras.kernels.native.sequences import Inputs, Layer

N, T, D, H = 3, 4, 2, 5


def lstm_case(**changes):
    case = random_case(Layer("lstm"), (N, T, D, H), "any")
    inputs = case.inputs._asdict()
    for name, change in changes.items():
        inputs[name] = change(inputs[name])
    return case._replace(inputs=Inputs(**inputs))


@pytest.fixture
def no_call(monkeypatch):
    """Fail if the library is called."""
    monkeypatch.setattr(library, "run", lambda *arguments: pytest.fail("the library was called"))


BAD_INPUTS = {
    "x of rank 2": ({"x": lambda a: a[0]}, "x must have rank 3"),
    "x in float64": ({"x": lambda a: a.astype("float64")}, "x must be float32 of shape"),
    "x in another byte order": ({"x": lambda a: a.astype(">f4")}, "x must be float32"),
    "x with other rows": ({"x": lambda a: a[:2]}, r"x must be float32 of shape \(3, 4, 2\), got float32 .*\(2, 4, 2\)"),
    "no step": ({"x": lambda a: a[:, :0], "mask": lambda a: a[:, :0]}, "T, d, and h must be at least 1, got T=0"),
    "no input": ({"x": lambda a: a[:, :, :0]}, "T, d, and h must be at least 1, got T=4, d=0"),
    "kernel": ({"kernel": lambda a: a.T}, r"kernel must be float32 of shape \(2, 20\)"),
    "recurrent kernel": ({"recurrent_kernel": lambda a: a[:, :-1]}, r"recurrent_kernel must be .*\(5, 20\)"),
    "bias of a GRU": ({"bias": lambda a: np.stack([a, a])}, r"bias must be float32 of shape \(20,\)"),
    "one state": ({"states": lambda a: a[:1]}, r"states must be 2 arrays \(n, h\)"),
    "states of rank 1": ({"states": lambda a: [a[0][0], a[1][0]]}, "states must be 2 arrays"),
    "states of other sizes": ({"states": lambda a: [a[0], a[1][:, :2]]}, r"states must be float32 of shape \(3, 5\)"),
    "mask of integers": ({"mask": lambda a: a.astype("uint8")}, "mask must be bool"),
    "mask of another length": ({"mask": lambda a: a[:, 1:]}, r"mask must be bool of shape \(3, 4\)"),
}


@pytest.mark.usefixtures("native", "no_call")
@pytest.mark.parametrize("changes, message", BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_wrong_arrays_never_reach_the_library(changes, message):
    case = lstm_case(**changes)
    with pytest.raises(ValueError, match=message):
        sequences.forward(case.layer, case.inputs, True)
    with pytest.raises(ValueError, match=message):
        sequences.backward(case.layer, case.inputs, [], case.d_y, case.d_states, True)


@pytest.mark.usefixtures("native")
def test_wrong_gradients_and_stored_arrays_never_reach_the_library(monkeypatch):
    case = lstm_case()
    stored = sequences.forward(case.layer, case.inputs, True).stored
    monkeypatch.setattr(library, "run", lambda *arguments: pytest.fail("the library was called"))
    good = {"stored": stored, "d_y": case.d_y, "d_states": case.d_states, "needs_x": True}
    bad = [
        ("d_y", case.d_y[:, 1:]),
        ("d_states", [state[:, 1:] for state in case.d_states]),
        ("stored", [array[1:] for array in stored]),
        ("stored", stored[:1]),
        ("stored", [array.astype("float64") for array in stored]),
    ]
    for name, value in bad:
        with pytest.raises(ValueError):
            sequences.backward(case.layer, case.inputs, **(good | {name: value}))
    with pytest.raises(ValueError, match="x must be float32"):
        sequences.to_columns(case.d_y.astype("float64"), None, False)
    with pytest.raises(ValueError, match="mask must be bool"):
        sequences.to_columns(case.d_y, case.inputs.mask[:1], False)
    with pytest.raises(ValueError, match="x must be float32"):
        sequences.from_columns(np.zeros((T, H, N + 1), "float32"), None, N)


def strided(array):
    """Return an equal array that is not contiguous."""
    return np.stack([array, array], -1)[..., 0]


def misaligned(array):
    """Return an equal array at an odd address."""
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = memory.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("change", [strided, np.asfortranarray, misaligned, read_only])
def test_arrays_of_any_layout_in_memory_give_the_same_results(change):
    case = lstm_case()
    x, kernel, recurrent_kernel, bias, states, mask = case.inputs
    arrays = [change(array) for array in (x, kernel, recurrent_kernel, bias)]
    other = Inputs(*arrays, [change(state) for state in states], change(mask))
    changed = case._replace(inputs=other, d_y=change(case.d_y), d_states=[change(state) for state in case.d_states])
    for name, array in run(case).items():
        np.testing.assert_array_equal(run(changed)[name], array, err_msg=name)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("n", [1, 6, 20, 37])
@pytest.mark.parametrize("cell", CELLS)
def test_nan_passes_through_in_its_row_only(cell, n):
    for activation in ("tanh", "relu", "hard_sigmoid"):
        case = random_case(Layer(cell, activation, "hard_sigmoid"), (n, 3, 4, 9))
        case.inputs.x[n // 2, 1, 2] = np.nan
        results = run(case)
        rows = np.isnan(results["y"]).any((1, 2))
        assert rows[n // 2] and rows.sum() == 1
        assert np.isnan(results["y"][n // 2, 1:]).all() and not np.isnan(results["y"][n // 2, 0]).any()
        assert np.isnan(results["dW"]).any()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights_give_nan_or_infinity(value):
    case = random_case(Layer("rnn", "linear"), (20, 3, 4, 9))
    case.inputs.kernel[1, 2] = value
    assert not np.isfinite(run(case)["y"][:, :, 2]).any()


@pytest.mark.parametrize("layer", [Layer("gru"), Layer("lstm", remat=True), Layer("rnn", return_sequences=False)])
@pytest.mark.usefixtures("native")
def test_empty_batch(layer):
    case = random_case(layer, (0, T, D, H), "any")
    results = run(case)
    assert results["dx"].shape == (0, T, D) and not results["dW"].any() and not results["dU"].any()


# === Memory ===

OUT_OF_MEMORY = """
import resource
import numpy as np
from deeprnn_keras.kernels.native import sequences
from native_cases import random_case, run

def zeros(*shape):
    return np.zeros(shape, "float32")

def inputs(n, steps, h):
    return sequences.Inputs(zeros(n, steps, 1), zeros(1, 4 * h), zeros(h, 4 * h), None, [zeros(n, h)] * 2, None)

layer = sequences.Layer("lstm")
small = random_case(layer, (4, 3, 5, 8))
expected = run(small)
wide, long = inputs(1, 1, 4096), inputs(64, 20000, 64)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
for case, training in ((wide, False), (long, True)):
    try:
        sequences.forward(layer, case, training)
    except MemoryError as error:
        print(error)
for name, array in run(small).items():
    np.testing.assert_array_equal(array, expected[name])
"""


@pytest.mark.usefixtures("native")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space and has /proc")
def test_failed_allocation_is_a_memory_error():
    """Working memory of a call, then an array of its results; calls that follow work."""
    process = run_python(OUT_OF_MEMORY)
    assert process.returncode == 0, process.stderr
    first, second = process.stdout.splitlines()
    assert first == (
        "the native implementation cannot allocate memory for a batch with n=1, T=1, d=1, h=4096; use a smaller batch "
        "or shorter sequences"
    )
    assert second == "cannot allocate 312 MB for a float32 array of shape (20000, 64, 64)"


# === Unusable libraries ===


@pytest.fixture
def reload(monkeypatch, tmp_path):
    """Return a function that loads another file as the library and returns the reason why it is unusable."""

    def reason_for(path):
        monkeypatch.setattr(library, "LIBRARY_FILE", path)
        library.load.cache_clear()
        library.unavailable_reason.cache_clear()
        return library.unavailable_reason()

    monkeypatch.setattr(library, "REASON_FILE", tmp_path / "not_built.txt")
    yield reason_for
    monkeypatch.undo()
    library.load.cache_clear()
    library.unavailable_reason.cache_clear()


def test_missing_library_is_explained(reload, tmp_path):
    assert "was not built; install the package again on a machine with a C" in reload(tmp_path / "libdeeprnn.so")
    (tmp_path / "not_built.txt").write_text("no C compiler was found at installation\n")
    assert reload(tmp_path / "libdeeprnn.so") == (
        "the native library was not built: no C compiler was found at installation"
    )


@pytest.mark.usefixtures("native")
@pytest.mark.skipif(sys.platform != "linux", reason="an ELF file")
@pytest.mark.parametrize("size", [10, 63, 2000, 0.3, 0.7, -1])
def test_truncated_library_is_refused(reload, tmp_path, size):
    """The dynamic loader would end the process."""
    content, path = library.LIBRARY_FILE.read_bytes(), tmp_path / "libdeeprnn.so"
    path.write_bytes(content[: int(size * len(content)) if isinstance(size, float) else size])
    assert reload(path) == "libdeeprnn.so is truncated; install the package again"


@pytest.mark.parametrize("content", [b"", b"not a library", b"\x7fELF\1\1" + bytes(100)])
def test_other_file_is_refused(reload, tmp_path, content):
    path = tmp_path / "libdeeprnn.so"
    path.write_bytes(content)
    assert reload(path).startswith("libdeeprnn.so does not load on this machine: ")


def compiled(directory, source):
    """Compile a library from one line of C."""
    directory.mkdir()
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    file, path = directory / "other.c", directory / "libdeeprnn.so"
    file.write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", str(file), "-o", str(path)], check=True)
    return path


def test_library_of_another_version_is_refused(reload, tmp_path):
    path = compiled(tmp_path / "newer", f"long long deeprnn_abi(void) {{ return {library.ABI + 1}; }}")
    assert reload(path) == (
        f"libdeeprnn.so was built for another version of this package (interface {library.ABI + 1}, needed "
        f"{library.ABI}); install the package again"
    )
    assert "undefined symbol: deeprnn_abi" in reload(compiled(tmp_path / "other", "int other;"))


@pytest.mark.usefixtures("native")
def test_unknown_instruction_set_is_refused(reload, monkeypatch):
    monkeypatch.setenv(library.INSTRUCTION_SET_VARIABLE, "avx9000")
    reason = reload(library.LIBRARY_FILE)
    assert reason.startswith("DEEPRNN_INSTRUCTION_SET must be one of ") and "portable" in reason
    assert reason.endswith("supported by this CPU, got 'avx9000'")


def test_layers_fall_back_without_the_library(reload, tmp_path, rng):
    """Automatic choice runs XLA; a request is an error that names the reason."""
    from deeprnn_keras import LSTM, DeepRNN, explain_kernels

    reload(tmp_path / "libdeeprnn.so")
    (model := DeepRNN(3, 2))(np.zeros((2, 3, 2), "float32"))
    assert {row.kernel for row in explain_kernels(model)} == {"xla"}
    with pytest.raises(ValueError, match="the native library was not built"):
        LSTM(3, implementation="native")(np.zeros((2, 3, 2), "float32"))


@pytest.mark.usefixtures("native")
def test_library_refuses_arguments_without_reading_them():
    """The library itself checks what it can, before it touches memory."""
    good = {"abi": library.ABI, "T": 1, "n": 1, "d": 1, "h": 1, "threads": 1, "x": 1, "W": 1, "U": 1}
    bad = [{"abi": library.ABI + 1}, {"T": 0}, {"n": -1}, {"d": 0}, {"h": 0}, {"threads": 0}, {"x": None}, {"W": None}]
    for changes in bad:
        for function in ("deeprnn_forward", "deeprnn_backward"):
            with pytest.raises(library.NativeLibraryError, match=f"{function} refused its arguments"):
                library.run(function, library.Sequence(**(good | changes)))
    with pytest.raises(library.NativeLibraryError, match="deeprnn_convert refused"):
        library.run("deeprnn_convert", library.Sequence(**good))
