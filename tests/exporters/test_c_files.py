"""C files: clean under strict compilers, checked by their own program, and the same text as `generate`."""

import ctypes
import re
import shutil
import subprocess

import exported_programs as programs
import numpy as np
import pytest

from deeprnn_keras import export, generate, king_james, zoo
from deeprnn_keras.exporters.c_source.compiler import compile_shared, find_compiler
from deeprnn_keras.exporters.c_source.fragments import FUNCTIONS, HEAD, RESERVED, used_functions
from deeprnn_keras.exporters.c_source.source import c_string, comment
from deeprnn_keras.exporters.c_source.target import CTarget
from deeprnn_keras.exporters.c_source.weights import in_strips
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program.operations import Concatenate, Dense, Input
from deeprnn_keras.program.program import Program

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
CAUSAL = [name for name in programs.MODELS if "bidirectional" not in name]
COMPILERS = (("gcc", "-std=c99"), ("clang", "-std=c99"), ("g++",), ("g++", "-std=c++98"))


def write(directory, *names, quantize=None):
    return [
        file
        for name in names
        for file in CTarget().write(programs.hand_made(name), directory / f"{name}.c", Options(quantize=quantize))
        if file.suffix == ".c"
    ]


def run(*command, **options):
    process = subprocess.run([str(one) for one in command], capture_output=True, text=True, **options)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize("compiler", COMPILERS, ids=" ".join)
def test_no_warnings(compiler, tmp_path):
    if not shutil.which(compiler[0]):
        pytest.skip(f"{compiler[0]} is not installed")
    run(*compiler, *STRICT, "-O1", "-fsyntax-only", *write(tmp_path, *CAUSAL))
    run(*compiler, *STRICT, "-O1", "-fsyntax-only", *write(tmp_path, "tied_head", "gru", "dilation", quantize="int8"))


@pytest.mark.parametrize(("name", "quantize"), [("tied_head", None), ("dilation", "int8")])
def test_check_program(name, quantize, tmp_path):
    files = write(tmp_path, name, quantize=quantize)
    run(*find_compiler(), *STRICT, "-O2", *files, "-o", tmp_path / "check")
    assert run(tmp_path / "check").count("passed") == 2
    text = files[0].read_text()
    kind, first = re.search(r"static const (float|int8_t) \w+\[\d+\] = {\n  ([^,]+),", text).groups()
    files[0].write_text(text.replace(f"  {first},", "  9.0f," if kind == "float" else "  127,", 1))
    run(*find_compiler(), "-O1", *files, "-o", tmp_path / "check")
    process = subprocess.run([tmp_path / "check"], capture_output=True, text=True)
    assert process.returncode == 1 and "FAILED" in process.stdout


def test_ids_out_of_range_leave_the_states_unchanged(tmp_path):
    _, runner = programs.written(CTarget(), programs.hand_made("embedding"), tmp_path)
    for bad in (-1, programs.V):
        with pytest.raises(RuntimeError, match="p_step returned -1"):
            runner.step([np.array([bad])])


def test_compiler_of_the_environment_and_names_that_need_quotes(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "gcc -DANYTHING=1")
    assert find_compiler() == ["gcc", "-DANYTHING=1"]
    report = export(programs.hand_made("rnn"), tmp_path / 'modèle "2".c')
    assert [file.name for file in report.files] == ['modèle "2".c', "modele_2_.h", "modele_2__test.c"]
    monkeypatch.setenv("CC", "no_such_compiler")
    with pytest.raises(ImportError, match="none of no_such_compiler is in PATH"):
        export(programs.hand_made("rnn"), tmp_path / "a.c")


# === Sampling ===


def philox(position, seed):
    """Return a number in [0, 1): Philox4x64-10 with the counter (position, 0, 0, 0) and the key (seed, 0)."""
    a, b, c, d, key, word = position, 0, 0, 0, [seed, 0], 2**64 - 1
    for _ in range(10):
        high, low = divmod(0xD2E7470EE14C6C93 * a, 2**64)
        other_high, other_low = divmod(0xCA5A826395121157 * c, 2**64)
        a, b, c, d = other_high ^ b ^ key[0], other_low, high ^ d ^ key[1], low
        key = [(key[0] + 0x9E3779B97F4A7C15) & word, (key[1] + 0xBB67AE8584CAA73B) & word]
    return (a >> 11) * 2.0**-53


def expected_id(logits, temperature, top_k, top_p, u):
    weights = np.exp((logits.astype("float64") - logits.max()) / temperature)
    order = np.argsort(-weights, kind="stable")
    if top_k:
        weights[order[top_k:]] = 0
    if top_p < 1:
        before = np.cumsum(weights[order]) - weights[order]
        weights[order[(before >= top_p * weights.sum()) & (np.arange(len(order)) > 0)]] = 0
    reached = np.cumsum(weights)
    return np.argmax(reached > u * reached[-1])


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    _, runner = programs.written(CTarget(), programs.hand_made("tied_head"), tmp_path_factory.mktemp("sample"))
    memory = runner._new_state()

    def call(logits, temperature=1.0, top_k=0, top_p=1.0, seed=0, position=0):
        pointers = ctypes.c_void_p(memory.ctypes.data), ctypes.c_void_p(logits.ctypes.data)
        numbers = ctypes.c_double(temperature), top_k, ctypes.c_double(top_p)
        return runner.library.p_sample(*pointers, *numbers, ctypes.c_uint64(seed), ctypes.c_uint64(position))

    return call


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 3, 1.0), (1.0, 0, 0.7), (1.5, 5, 0.5)]
)
def test_samples_are_those_of_the_distribution(temperature, top_k, top_p, sample):
    rng = np.random.default_rng(0)
    for position in range(300):
        logits = rng.normal(scale=2, size=programs.V).astype("float32")
        seed = int(rng.integers(2**62))
        expected = expected_id(logits, temperature, top_k, top_p, philox(position, seed))
        assert sample(logits, temperature, top_k, top_p, seed, position) == expected


def test_greedy_samples_equal_logits_and_logits_that_are_not_finite(sample):
    assert sample(np.array([0, 1, 3, 3, 2, 0, 0, 0, 0], "float32"), temperature=0.0) == 2
    assert {sample(np.zeros(9, "float32"), top_k=2, position=position) for position in range(20)} == {0, 1}
    assert sample(np.array([-np.inf] * 8 + [0], "float32")) == 8
    for bad in (np.nan, np.inf):
        assert sample(np.array([0] * 8 + [bad], "float32")) == -2


# === Functions ===


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """Return the functions of one number, compiled."""
    directory = tmp_path_factory.mktemp("functions")
    names = ("exponential", "logarithm", "hyperbolic_tangent", "sigmoid", "softplus", "square_root")
    wrappers = "".join(f"float test_{name}(float x) {{ return {name}(x); }}\n" for name in names)
    text = f"#include <stdint.h>\n#include <stddef.h>\n{HEAD}{''.join(used_functions(wrappers))}{wrappers}"
    (directory / "f.c").write_text(text)
    compile_shared([directory / "f.c"], directory / "f.so")
    library = ctypes.CDLL(str(directory / "f.so"))
    result = {name: getattr(library, f"test_{name}") for name in names}
    for function in result.values():
        function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return result


@pytest.mark.parametrize(
    ("name", "reference", "low", "high", "relative"),
    [
        ("exponential", np.exp, -80, 80, True),
        ("hyperbolic_tangent", np.tanh, -12, 12, False),
        ("hyperbolic_tangent", np.tanh, -1e-3, 1e-3, True),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), -40, 40, False),
        ("softplus", lambda x: np.logaddexp(x, 0), -20, 20, False),
        ("logarithm", np.log, 1e-30, 10, False),
        ("logarithm", np.log, 0.5, 2, False),
        ("square_root", np.sqrt, 0, 1e3, True),
    ],
)
def test_functions_are_accurate(name, reference, low, high, relative, functions):
    x = np.linspace(low, high, 4001).astype("float32")
    expected = reference(x.astype("float64"))
    actual = np.array([functions[name](float(one)) for one in x])
    scale = np.where(expected != 0, np.abs(expected), 1) if relative else np.maximum(1, np.abs(expected))
    assert (np.abs(actual - expected) / scale).max() < 2.5e-7


def test_functions_far_outside_stay_finite(functions):
    for x in (-1e30, -1e4, 1e4, 1e30):
        assert functions["hyperbolic_tangent"](x) == np.sign(x)
        assert functions["sigmoid"](x) == pytest.approx(float(x > 0), abs=1e-30)


@pytest.mark.parametrize("name", ["hyperbolic_tangent", "sigmoid"])
def test_activations_propagate_nan(name, functions):
    assert np.isnan(functions[name](np.nan)) and functions[name](np.inf) == 1


# === Texts ===


def test_strips():
    matrix = np.arange(6 * 130, dtype="float32").reshape(6, 130)
    strips = in_strips(matrix)
    assert (
        strips[:64].tolist() == matrix[0, :64].tolist()
        and strips[64 * 6 * 2 :].tolist() == matrix[:, 128:].ravel().tolist()
    )


def test_symbols_and_comments_are_escaped():
    assert c_string('a"\n?1é') == r'"a\042\012\0771\303\251"'
    assert comment("a */ /* ??/ \\ é\n") == "a _/ /_ __/ _ __"
    assert {*FUNCTIONS, "int", "class", "state"} <= set(RESERVED)


def test_equal_weights_are_written_once(tmp_path):
    weights = {name: np.ones((3, 3), "f") for name in "ab"}
    layers = (Dense("first", ("x",), 3, "a"), Dense("second", ("first",), 3, "b"), Concatenate("y", ("second", "x"), 6))
    (file, *_) = CTarget().write(Program("p", (Input("x", 3),), layers, ("y",), weights), tmp_path / "p.c", Options())
    assert file.read_text().count("static const float") == 1


# === King James models ===

MAIN = """
#include "p.h"
#include <stdio.h>
#include <stdlib.h>
static p_state state;
static float logits[P_SYMBOLS];
int main(int argc, char **argv) {
  int t, length = atoi(argv[1]);
  p_init(&state);
  for (t = 5; t < argc; t++) p_step(&state, atoi(argv[t]), logits);
  for (t = 0; t < length; t++) {
    int id = p_sample(&state, logits, atof(argv[2]), 0, atof(argv[3]), (uint64_t)atoi(argv[4]), (uint64_t)t);
    fputs(p_symbols[id], stdout);
    p_step(&state, id, logits);
  }
  return 0;
}
"""


@pytest.mark.parametrize(
    "name",
    [pytest.param("kjv_lstm_2x256", marks=pytest.mark.long), pytest.param("kjv_gru_2x256", marks=pytest.mark.slow)],
)
def test_text_of_the_king_james_models_is_that_of_generate(name, tmp_path):
    program = zoo.load_program(name)
    CTarget().write(program, tmp_path / "p.c", Options())
    (tmp_path / "main.c").write_text(MAIN)
    run(*find_compiler(), "-O3", "-march=native", tmp_path / "p.c", tmp_path / "main.c", "-o", tmp_path / "main")
    symbols = program.attributes["vocabulary"]
    ids = [symbols.index(one) for one in "In the beginning"]
    for temperature, top_p, seed in ((1.0, 1.0, 3), (0.8, 0.9, 4)):
        text = run(tmp_path / "main", 2000, temperature, top_p, seed, *ids, encoding="utf-8")
        assert text == generate(
            program, "In the beginning", 2000, temperature=temperature, top_p=top_p, seed=seed
        ).removeprefix("In the beginning")


@pytest.mark.slow
def test_king_james_model_with_8_bits_is_smaller_and_as_good(tmp_path):
    program = zoo.load_program("kjv_lstm_2x256")
    ids = [program.attributes["vocabulary"].index(one) for one in king_james().split().validation[0][: 8 * 201]]
    x = np.array(ids).reshape(8, 201)
    report = export(program, tmp_path / "q.c", quantize="int8", evaluate=(x[:, :-1], x[:, 1:]))
    assert report.loss.file - report.loss.model < 0.02
    CTarget().write(program, tmp_path / "p.c", Options())
    for name in "pq":
        run(*find_compiler(), "-O3", "-c", tmp_path / f"{name}.c", "-o", tmp_path / f"{name}.o")
    assert (tmp_path / "q.o").stat().st_size < 0.28 * (tmp_path / "p.o").stat().st_size
