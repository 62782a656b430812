"""`generate` and `generate_stream` on programs: texts, ids, reproducibility, chunks, samples, and bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_programs import fixed_program, small_program

from deeprnn_keras import generate, generate_stream
from deeprnn_keras.data import Vocabulary
from deeprnn_keras.generation import loop
from deeprnn_keras.kernels.native import library
from deeprnn_keras.program import interpreter

ABC = Vocabulary("abcde")


def test_text_starts_with_the_prompt_and_has_the_requested_length(rng):
    program = small_program(rng)
    text = generate(program, "abba", length=13, seed=1)
    assert text.startswith("abba") and len(text) == 17 and set(text) <= set("abcde")
    assert len(generate(program, "a", length=1)) == 2 and len(generate(program, "a")) == 201


def test_seed_determines_the_text(rng):
    program = small_program(rng)
    texts = [generate(program, "ab", length=30, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert generate(program, "ab", 30) != generate(program, "ab", 30)


def test_greedy_text_is_the_most_probable_symbol_given_the_whole_text(rng):
    program = small_program(rng, scale=2.0)
    ids = ABC.encode(generate(program, "ac", length=30, temperature=0))
    (logits,), _ = interpreter.run(program, [ids[None, :-1]])
    np.testing.assert_array_equal(ids[2:], np.argmax(logits[0], -1)[1:])
    assert len(set(ids[2:])) > 1, "the test requires a text of more than one symbol"


def test_ids_in_ids_out(rng):
    program = small_program(rng, 7)
    ids = generate(program, [3, 6], 5, seed=0)
    assert ids.shape == (7,) and ids.dtype == np.int32 and ids[:2].tolist() == [3, 6] and ids.max() < 7
    assert generate(program, np.array([3]), 5, num_samples=4).shape == (4, 6)
    pieces = list(generate_stream(program, [3, 6], 5, seed=0))
    np.testing.assert_array_equal(np.concatenate(pieces), ids[2:])
    letters = small_program(rng)
    assert letters.attributes["vocabulary"] and generate(letters, [0, 1], 3).shape == (5,)


def test_probabilities_are_sampled_like_their_logits(rng):
    seed = int(rng.integers(100))
    programs = [small_program(np.random.default_rng(seed), softmax=softmax) for softmax in (False, True)]
    options = {"length": 40, "seed": 2, "temperature": 0.7, "repetition_penalty": 1.2}
    assert generate(programs[0], "ab", **options) == generate(programs[1], "ab", **options)


def test_batch_size_of_a_program_does_not_matter(rng):
    program = small_program(rng)
    texts = generate(program, "ab", 20, seed=0, num_samples=3)
    assert generate(replace(program, batch_size=2), "ab", 20, seed=0, num_samples=3) == texts


def test_samples_are_independent_rows(rng):
    program = small_program(rng)
    texts = generate(program, "ab", length=30, seed=5, num_samples=4)
    assert len(set(texts)) == 4 and generate(program, "ab", length=30, seed=5) == texts[0]
    assert generate(program, "ab", length=30, seed=5, num_samples=2) == texts[:2]
    ids, options = ABC.encode("ab"), loop.Sampling()
    for row, text in enumerate(texts):
        alone = loop.Loop(program, ids, options, 5, np.array([row], "uint64"))
        assert ABC.decode(alone.advance(30)[0]) == text[2:]


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 1, 6]], ids=str)
def test_chunks_do_not_matter(rng, sizes):
    program, ids = small_program(rng), ABC.encode("abe")
    options = loop.Sampling(repetition_penalty=1.5, temperature=1.2)
    rows = np.arange(3, dtype="uint64")
    continued = loop.Loop(program, ids, options, 9, rows)
    chunks = np.concatenate([continued.advance(size) for size in sizes], axis=1)
    np.testing.assert_array_equal(chunks, loop.Loop(program, ids, options, 9, rows).advance(12))


@pytest.fixture
def without_library(monkeypatch):
    """Return a function that makes the native library unavailable until the end of the test."""
    return lambda: monkeypatch.setattr(library, "unavailable_reason", lambda: "not built")


OPTIONS = [
    {"temperature": 0},
    {"top_k": 3},
    {"top_p": 0.8, "temperature": 1.5},
    {"repetition_penalty": 1.4, "min_p": 0.1},
]


@pytest.mark.skipif(library.unavailable_reason() is not None, reason="requires the native library")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_are_the_same_without_the_native_library(rng, options, without_library):
    program, arguments = small_program(rng, scale=0.7), {"seed": 3, "num_samples": 5, **options}
    texts = generate(program, "abe", 80, **arguments)
    without_library()
    assert generate(program, "abe", 80, **arguments) == texts


def test_long_prompts_are_read_in_parts(rng, monkeypatch):
    program = small_program(rng)
    text = generate(program, "abcde" * 7, 20, seed=0)
    monkeypatch.setattr(loop, "STEPS_PER_PUSH", 4)
    assert generate(program, "abcde" * 7, 20, seed=0) == text


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("options", [{}, {"temperature": 0}], ids=str)
def test_logits_that_are_not_finite_are_an_error(native, options, without_library):
    native or without_library()
    program = fixed_program([np.nan, 0.0], "ab")
    for length in (1, 5):
        with pytest.raises(ValueError, match="model 'fixed' cannot generate: its outputs are not finite"):
            generate(program, "a", length, **options)


@pytest.mark.parametrize("symbols", ["abcde", ["<eos>", "a", "b", "c"], {"kind": "bytes"}], ids=str)
@pytest.mark.parametrize("options", [{}, {"stop": "a"}, {"stop": ["bb", " c a", "\n"]}], ids=str)
def test_pieces_joined_are_the_text(rng, symbols, options):
    program, prompt = small_program(rng, symbols), "a b" if isinstance(symbols, list) else "ab"
    text = generate(program, prompt, length=90, seed=4, **options)
    pieces = list(generate_stream(program, prompt, length=90, seed=4, **options))
    assert prompt + "".join(pieces) == text and all(pieces)
    assert options or len(pieces) > 4


def test_pieces_are_generated_when_they_are_requested(rng):
    pieces = generate_stream(small_program(rng), "ab", length=2**60)
    assert len(next(pieces)) == 1 and len(next(pieces)) == 2


def test_text_ends_before_the_stop_string(rng):
    program = small_program(rng)
    text = generate(program, "ab", length=60, seed=4)
    stop = text[20:24]
    end = text.index(stop, 2)
    assert generate(program, "ab", length=60, seed=4, stop=stop) == text[:end]
    assert generate(program, "ab", length=60, seed=4, stop=["xyz", stop]) == text[:end]
    texts = generate(program, "ab", length=60, seed=4, stop=stop, num_samples=3)
    assert texts[0] == text[:end] and not any(stop in one[2:] for one in texts)


def test_generation_ends_when_every_sample_has_stopped(rng, monkeypatch):
    lengths = []
    advance = loop.Loop.advance
    monkeypatch.setattr(loop.Loop, "advance", lambda self, count: lengths.append(count) or advance(self, count))
    assert generate(fixed_program([0, 9.0], "ab"), "a", 10_000, temperature=0, stop="bbb", num_samples=2) == ["a", "a"]
    assert lengths == [1, 2]


def test_penalty_applies_to_prompt_and_text():
    program = fixed_program([5.0, 4.0, 3.0, 0.0], "abcd")
    assert generate(program, "d", 4, temperature=0, repetition_penalty=1.5) == "dabaa"
    assert generate(program, "a", 3, temperature=0, repetition_penalty=2.0) == "abca"


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_texts_follow_the_softmax_at_the_temperature(temperature):
    logits = np.array([2.0, 1.0, 0.0, -1.0, 0.5])
    text = generate(fixed_program(logits, "abcde"), "a", length=400, temperature=temperature, seed=0)[1:]
    p = np.exp(logits / temperature) / np.sum(np.exp(logits / temperature))
    frequencies = [text.count(symbol) / 400 for symbol in "abcde"]
    assert np.all(np.abs(frequencies - p) < 4 * np.sqrt(p * (1 - p) / 400) + 1e-3)


def test_unknown_characters_of_the_prompt(rng):
    program = small_program(rng)
    with pytest.raises(ValueError, match=r"'x' \(2 times\), the first at position 1;"):
        generate(program, "axbx", length=2)
    assert generate(program, "axbx", length=2, unknown="skip").startswith("ab")
    with pytest.raises(ValueError, match="at least 1 symbol of the model's vocabulary, got 'xyz'"):
        generate(program, "xyz", length=2, unknown="skip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length must be a positive integer, got 0"),
        ({"length": 2.5}, "length must"),
        ({"temperature": -1.0}, "temperature must be a non-negative number"),
        ({"temperature": math.nan}, "temperature must"),
        ({"temperature": "hot"}, "temperature must"),
        ({"top_k": 0}, "top_k must"),
        ({"top_p": 0}, "top_p must"),
        ({"top_p": 1.1}, "top_p must"),
        ({"min_p": 0}, "min_p must"),
        ({"repetition_penalty": 0}, "repetition_penalty must"),
        ({"num_samples": 0}, "num_samples must"),
        ({"stop": ""}, "stop must"),
        ({"seed": -1}, "seed must"),
        ({"prompt": ""}, "prompt must have at least 1 character"),
        ({"prompt": []}, "prompt must have at least 1 symbol"),
        ({"prompt": [0, 9]}, "prompt must have ids below 5, got 9 at position 1"),
        ({"prompt": [-1]}, "prompt must be ids in"),
        ({"prompt": [0], "stop": "a"}, "stop is supported for a prompt of text only"),
        ({"unknown": "drop"}, "unknown must"),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused(rng, arguments, message):
    for function in (generate, generate_stream):
        if function is generate or "num_samples" not in arguments:
            with pytest.raises(ValueError, match=f"^{message}"):  # also without requesting a piece
                function(small_program(rng), **{"prompt": "ab", "length": 3, **arguments})


def test_model_of_ids_has_no_text(rng):
    with pytest.raises(ValueError, match="text requires a vocabulary, but model 'small' reads ids below 7; pass ids"):
        generate(small_program(rng, 7), "a")


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ("abcd", "program 'small' has a vocabulary of 4 symbols, but reads ids below 5"),
        ("abcda", "symbols must be a non-empty string of distinct characters"),
        ({"kind": "other"}, "text requires a vocabulary"),
        (5, "text requires a vocabulary"),
    ],
    ids=str,
)
def test_invalid_vocabulary_of_a_file_is_an_error(rng, vocabulary, message):
    with pytest.raises(ValueError, match=message):
        generate(replace(small_program(rng), attributes={"vocabulary": vocabulary}), "a")


def test_models_that_do_not_predict_ids_are_refused(rng):
    from deeprnn_keras.program import Program
    from deeprnn_keras.program.operations import Dense, Input

    weights = {"V": np.ones((3, 2), "float32")}
    program = Program("numbers", (Input("x", 3),), (Dense("head", ("x",), 2, "V"),), ("head",), weights)
    with pytest.raises(ValueError, match=r"'numbers' must read ids .* it reads 3 features and returns 2 features"):
        generate(program, [0])
