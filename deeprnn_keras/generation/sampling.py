"""`generate`: sample text from a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks, progress
from deeprnn_keras.generation.stepwise import checked_logits, current_stepper, zero_state

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.vocabulary import TextVocabulary


def generate(
    model: keras.Model,
    vocabulary: TextVocabulary,
    prompt: str,
    length: int = 200,
    *,
    temperature: float = 1.0,
    seed: int | None = None,
    unknown: str = "error",
) -> str:
    """Return `prompt` continued by `length` symbols, each drawn from softmax(logits / temperature).

    The recurrent states are carried from step to step, so that the running time is proportional to the length.

    Args:
        model: Model from ids (n, T) to logits (n, T, V), a chain of layers supported by `with_state`.
        vocabulary: Vocabulary of the V symbols.
        prompt: Text to continue, at least one symbol.
        length: Number of symbols to generate: characters, words, or bytes, according to the vocabulary.
        temperature: Sampling temperature, > 0. Values below 1 sharpen the distribution.
        seed: Random seed, or None for a different text in every call.
        unknown: "error", or "skip" to omit symbols of the prompt that are not in the vocabulary.

    Returns:
        The prompt, without skipped symbols, and its continuation.

    Raises:
        ValueError: If an argument is out of range, if the prompt is empty or has unknown symbols, or if the outputs of
            the model are not finite.

    >>> from deeprnn_keras import LanguageModel, generate
    >>> from deeprnn_keras.data import Vocabulary
    >>> model = LanguageModel("abc", units=8, num_layers=2)
    >>> len(generate(model, Vocabulary("abc"), "ab", length=5, seed=0))
    7
    """
    length = checks.positive_int("length", length)
    temperature = checks.positive("temperature", temperature)
    rng = np.random.default_rng(checks.generator_seed("seed", seed))
    if not prompt:
        raise ValueError("prompt must have at least 1 character, got ''")
    ids = vocabulary.encode(prompt, unknown)
    if not len(ids):
        raise ValueError(f"prompt must have at least 1 symbol of the model's vocabulary, got {prompt!r}")
    stepper = current_stepper(model)
    generated: list[int] = []
    state, inputs = zero_state(stepper, 1), ids
    for _ in progress.tracked(range(length), length):
        logits, *state = stepper.predict_on_batch([inputs[None], *state])
        generated.append(_draw(checked_logits(model, logits[0, -1]), temperature, rng))
        inputs = np.array(generated[-1:], "int32")
    return vocabulary.decode([*ids, *generated])


def _draw(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    # Gumbel-max trick: the index of the largest of logits + noise is a draw from the softmax
    with np.errstate(over="ignore"):  # at temperatures near 0, all but the largest logits become -inf
        scaled = (logits - logits.max()) / temperature
    return int(np.argmax(scaled + rng.gumbel(size=len(logits))))
