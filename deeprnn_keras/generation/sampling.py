"""`generate`: text from a language model."""

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.generation.stepwise import with_state, zero_state


def generate(model, vocabulary, prompt, length=200, *, temperature=1.0, seed=None, unknown="error"):
    """Continues `prompt` by `length` symbols, each drawn from softmax(logits / temperature).

    The state is carried from step to step, so that the time grows with the length and not with its square.

    Args:
        model: from ids (n, T) to logits (n, T, V), a chain as `with_state` asks for.
        vocabulary: the vocabulary of the V symbols.
        prompt: text that the model reads first; at least one symbol.
        length: number of symbols to add: characters, words or bytes, as the vocabulary has it.
        temperature: above 0; below 1 the likely gets likelier.
        seed: a whole number for the same text each time, or None.
        unknown: "error" or "skip": what to do with what the vocabulary does not have.

    Returns:
        The prompt, as far as the vocabulary has it, and its continuation.

    Raises:
        ValueError: for arguments out of range, an empty prompt, unknown symbols.

    >>> from deeprnn_keras import LanguageModel, generate
    >>> from deeprnn_keras.data import Vocabulary
    >>> model = LanguageModel("abc", units=8, num_layers=2)
    >>> len(generate(model, Vocabulary("abc"), "ab", length=5, seed=0))
    7
    """
    length = checks.positive_int("length", length)
    temperature = checks.positive("temperature", temperature)
    if not prompt:
        raise ValueError("prompt must have at least one character, got ''")
    ids = vocabulary.encode(prompt, unknown)
    if not len(ids):
        raise ValueError(f"prompt {prompt!r} has no symbol of the model's vocabulary")
    stepper, rng = with_state(model), np.random.default_rng(seed)
    state, read, written = zero_state(stepper, 1), ids, []
    for _ in range(length):
        logits, *state = stepper.predict_on_batch([read[None], *state])
        written.append(_draw(logits[0, -1], temperature, rng))
        read = np.array(written[-1:], "int32")
    return vocabulary.decode([*ids, *written])


def _draw(logits, temperature, rng):
    # Gumbel's trick: the largest of logits + noise is a draw from the softmax
    return int(np.argmax(np.asarray(logits, "float64") / temperature + rng.gumbel(size=len(logits))))
