"""`generate` and `generate_stream`: continue a text, or ids, with a language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.values import token_ids
from deeprnn_keras.data.vocabulary import TextVocabulary, check_unknown
from deeprnn_keras.data.words import deserialize_vocabulary
from deeprnn_keras.generation.loop import Loop, logits_of
from deeprnn_keras.generation.random_numbers import checked_seed
from deeprnn_keras.generation.sampling import Sampling
from deeprnn_keras.generation.text_writer import TextWriter, checked_stops
from deeprnn_keras.program.program import Program

if TYPE_CHECKING:
    import keras


def generate(
    model: keras.Model | Program,
    prompt: str | ArrayLike,
    length: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    num_samples: int = 1,
    unknown: str = "error",
) -> str | list[str] | np.ndarray:
    """Return `prompt` continued by `length` symbols, each drawn given all symbols before it.

        p(w_{t+1} | w_1, ..., w_t) = softmax(O_t / temperature), without the symbols that top_k, top_p, min_p exclude

    The options apply in this order: repetition_penalty, temperature, top_k, top_p, min_p. The random numbers are those
    of Philox, a counter-based generator: symbol t of sample i is drawn with a number that is a function of the seed, t,
    and i alone. Sample 0 of several is thus the text that a call without `num_samples` returns.

    Args:
        model: Model from ids (n, T) to logits or probabilities (n, T, V) of the next symbol: a `LanguageModel`, another
            Keras model that `lower` supports, or a `Program`.
        prompt: Text to continue, at least one symbol; or ids, (T,).
        length: Number of symbols to generate: characters, words, or bytes, according to the vocabulary.
        temperature: Sampling temperature. Values below 1 sharpen the distribution; 0 selects the most probable symbol.
        top_k: Draw from the k most probable symbols.
        top_p: Draw from the smallest set of the most probable symbols whose probability reaches `top_p` (nucleus
            sampling, Holtzman et al. 2020).
        min_p: Draw from the symbols whose probability is at least `min_p` times the largest.
        repetition_penalty: Positive logits of the symbols of the prompt and of the generated text are divided by it,
            negative ones multiplied (Keskar et al. 2019). Values above 1 make repetitions less probable.
        seed: Random seed, or None for a different text in every call.
        stop: A string, or several, at which the text ends. The stop string is not part of the result. Those in the
            prompt have no effect.
        num_samples: Number of continuations, which are computed together.
        unknown: "error", or "skip" to omit symbols of the prompt that are not in the vocabulary.

    Returns:
        The prompt, without skipped symbols, and its continuation; with `num_samples` above 1, a list of them. For a
        prompt of ids, int32 (T + length,), or (num_samples, T + length).

    Raises:
        ValueError: If an argument is out of range; if the prompt is empty, is a text but the model has no vocabulary,
            or has unknown symbols; or if the outputs of the model are not finite.

    >>> from deeprnn_keras import LanguageModel, generate
    >>> model = LanguageModel("abc", units=8, num_layers=2)
    >>> len(generate(model, "ab", length=5, seed=0))
    7
    >>> generate(model, [0, 1], length=5, num_samples=3).shape
    (3, 7)
    """
    sampling = Sampling(repetition_penalty, temperature, top_k, top_p, min_p)
    request = _Request(prompt, length, sampling, seed, stop, num_samples, unknown)
    return request.complete(request.start(model))


def generate_stream(
    model: keras.Model | Program,
    prompt: str | ArrayLike,
    length: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    unknown: str = "error",
) -> Iterator[str] | Iterator[np.ndarray]:
    """Return an iterator over the pieces of the text that `generate` returns, without the prompt.

    A piece is generated when it is requested. The first one is a single symbol; the following ones become larger.

    Args:
        model: As in `generate`, like the other arguments.
        prompt: Text to continue, or ids.
        length: Number of symbols to generate.
        temperature: Sampling temperature.
        top_k: Draw from the k most probable symbols.
        top_p: Draw from the smallest set of the most probable symbols whose probability reaches `top_p`.
        min_p: Draw from the symbols whose probability is at least `min_p` times the largest.
        repetition_penalty: Divisor of the logits of symbols that have occurred.
        seed: Random seed.
        stop: A string, or several, at which the text ends.
        unknown: "error", or "skip".

    Returns:
        Iterator over strings; for a prompt of ids, over arrays of ids.

    Raises:
        ValueError: As `generate`.

    >>> from deeprnn_keras import LanguageModel, generate_stream
    >>> model = LanguageModel("abc", units=8, num_layers=2)
    >>> len("".join(generate_stream(model, "ab", length=5)))
    5
    """
    sampling = Sampling(repetition_penalty, temperature, top_k, top_p, min_p)
    request = _Request(prompt, length, sampling, seed, stop, 1, unknown)
    return request.pieces(request.start(model))


@dataclass(frozen=True)
class _Start:
    """Prompt as ids, the loop that continues it, and the vocabulary; None for ids."""

    ids: np.ndarray
    loop: Loop
    vocabulary: TextVocabulary | None


class _Request:
    """Checked arguments of `generate`, except the model."""

    def __init__(
        self,
        prompt: str | ArrayLike,
        length: int,
        sampling: Sampling,
        seed: int | None,
        stop: str | Sequence[str] | None,
        num_samples: int,
        unknown: str,
    ) -> None:
        check_unknown(unknown)
        self.prompt, self.sampling, self.unknown = prompt, sampling, unknown
        self.length = checks.positive_int("length", length)
        self.seed = checked_seed(seed)
        self.stops = checked_stops(stop)
        self.num_samples = checks.positive_int("num_samples", num_samples)
        if isinstance(prompt, str) and not prompt:
            raise ValueError("prompt must have at least 1 character, got ''")
        if self.stops and not isinstance(prompt, str):
            raise ValueError(f"stop is supported for a prompt of text only, got ids; leave out stop={stop!r}")

    def start(self, model: keras.Model | Program) -> _Start:
        """Read the prompt."""
        program = logits_of(as_program(model))
        if isinstance(self.prompt, str):
            vocabulary = program_vocabulary(program)
            ids = vocabulary.encode(self.prompt, self.unknown)
        else:
            vocabulary, ids = None, token_ids("prompt", self.prompt)
        _check_ids(ids, program.inputs[0].width, self.prompt)
        loop = Loop(program, ids, self.sampling, self.seed, np.arange(self.num_samples, dtype=np.uint64))
        return _Start(ids, loop, vocabulary)

    def pieces(self, start: _Start) -> Iterator[str] | Iterator[np.ndarray]:
        """Yield the continuation of one row."""
        if start.vocabulary is None:
            return (ids[0] for ids in start.loop.chunks(self.length))
        return self._text_pieces(start, TextWriter(start.vocabulary, start.ids, self.stops))

    def _text_pieces(self, start: _Start, writer: TextWriter) -> Iterator[str]:
        for ids in start.loop.chunks(self.length):
            yield from filter(None, [writer.write(ids[0])])
            if writer.stopped:
                return
        yield from filter(None, [writer.close()])

    def complete(self, start: _Start) -> str | list[str] | np.ndarray:
        """Return the prompt and its continuations."""
        if start.vocabulary is None:
            rows = np.repeat(start.ids[None], self.num_samples, axis=0)
            ids = np.concatenate([rows, *start.loop.chunks(self.length)], axis=1)
            return ids if self.num_samples > 1 else ids[0]
        prompt = start.vocabulary.decode(start.ids)
        writers = [TextWriter(start.vocabulary, start.ids, self.stops) for _ in range(self.num_samples)]
        texts = [[prompt] for _ in writers]
        for ids in start.loop.chunks(self.length):
            for writer, text, row in zip(writers, texts, ids, strict=True):
                text.append(writer.write(row))
            if all(writer.stopped for writer in writers):
                break
        results = ["".join([*text, writer.close()]) for writer, text in zip(writers, texts, strict=True)]
        return results if self.num_samples > 1 else results[0]


def _check_ids(ids: np.ndarray, size: int, prompt: str | ArrayLike) -> None:
    if not len(ids):
        raise ValueError(f"prompt must have at least 1 symbol of the model's vocabulary, got {prompt!r}")
    if ids.max() >= size:
        position = int(np.argmax(ids >= size))
        raise ValueError(f"prompt must have ids below {size}, got {ids[position]} at position {position}")


def as_program(model: keras.Model | Program) -> Program:
    """Return the program of a model with its current weights, or the program that is passed."""
    if isinstance(model, Program):
        return model
    from deeprnn_keras.program import lower

    return lower(model)


def program_vocabulary(program: Program) -> TextVocabulary:
    """Return the vocabulary of a program.

    Raises:
        ValueError: If it has none, or one of another size.
    """
    size = program.inputs[0].width
    vocabulary = deserialize_vocabulary(program.attributes.get("vocabulary", size))
    if vocabulary is None:
        raise ValueError(
            f"text requires a vocabulary, but model {program.name!r} reads ids below {size}; pass ids, or create the "
            "model with vocabulary='...' or a list of words"
        )
    if len(vocabulary) != size:
        raise ValueError(
            f"program {program.name!r} has a vocabulary of {len(vocabulary)} symbols, but reads ids below {size}; "
            "lower the model again"
        )
    return vocabulary
