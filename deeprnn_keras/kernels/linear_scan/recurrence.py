"""Linear recurrences of first order in `keras.ops`: s_t[i] = sum over j of A_t[i, j] s_{t-1}[j] + b_t[i].

A coefficient is (n, T, h), or (h,) if it is the same in all steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from keras import ops

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor

Matrix: TypeAlias = Mapping[tuple[int, int], Tensor]
"""{(i, j): A[i, j]}; missing entries are 0."""

Vector: TypeAlias = Sequence[Tensor]

CHUNK = 16
"""Steps that are computed one after the other, in all chunks at once."""

LONGEST_LOOP = 32
"""Steps of a loop without chunks."""

LEVELS = 2
"""Number of times that steps, then chunks, are grouped in chunks if their number is unknown."""


def solve(a: Matrix, b: Vector, initial: Vector, parallel: bool) -> list[Tensor]:
    """Return the states after all steps, (n, T, h) each.

    Args:
        a: Coefficients of the states before a step.
        b: Terms that are added, (n, T, h) each.
        initial: States before the first step, (n, h) each.
        parallel: Use an associative scan, in which about 2 log2(T) operations follow each other, each of which reads
            and writes a part of all steps; otherwise, use a loop over chunks of steps. The scan requires a known T.
    """
    a = _with_all_products(a, len(b))
    if parallel and b[0].shape[1] is not None:
        return _associative_scan(a, b, initial)
    return _chunked(a, b, initial, LEVELS)


def _with_all_products(a: Matrix, count: int) -> Matrix:
    """Return the coefficients with a zero in each place that a product of several steps fills."""
    places = set(a)
    for k, i, j in itertools.product(range(count), repeat=3):  # paths of any length, by Warshall's algorithm
        if (i, k) in places and (k, j) in places:
            places.add((i, j))
    return {place: a[place] if place in a else ops.zeros_like(next(iter(a.values()))) for place in sorted(places)}


def _varies(coefficient: Tensor) -> bool:
    return len(coefficient.shape) > 1


def _multiplied(left: Matrix, right: Matrix) -> dict[tuple[int, int], Tensor]:
    """Return the product of two matrices."""
    result: dict[tuple[int, int], Tensor] = {}
    for (i, k), (m, j) in itertools.product(left, right):
        if k == m:
            product = left[i, k] * right[k, j]
            result[i, j] = result[i, j] + product if (i, j) in result else product
    return result


def _applied(a: Matrix, states: Vector, b: Vector) -> list[Tensor]:
    """Return A s + b."""
    result = list(b)
    for (i, j), coefficient in a.items():
        result[i] = result[i] + coefficient * states[j]
    return result


# === An associative scan ===


def _associative_scan(a: Matrix, b: Vector, initial: Vector) -> list[Tensor]:
    length, units = b[0].shape[1:]
    all_steps = next(filter(_varies, a.values()), ops.zeros((1, length, units), b[0].dtype))
    a = {place: one if _varies(one) else one + ops.zeros_like(all_steps) for place, one in a.items()}
    of_first = {place: one[:, :1] for place, one in a.items()}
    first = _applied(of_first, [state[:, None] for state in initial], [z[:, :1] for z in b])
    b = [ops.concatenate([start, z[:, 1:]], 1) for start, z in zip(first, b, strict=True)]
    places = list(a)

    def compose(first: tuple[Vector, Vector], second: tuple[Vector, Vector]) -> tuple[list[Tensor], list[Tensor]]:
        before, after = (dict(zip(places, values, strict=True)) for values, _ in (first, second))
        product = _multiplied(after, before)
        return [product[place] for place in places], _applied(after, first[1], second[1])

    return ops.associative_scan(compose, ([a[place] for place in places], list(b)), axis=1)[1]


# === A loop over chunks ===


def _chunked(a: Matrix, b: Vector, initial: Vector, levels: int) -> list[Tensor]:
    length = b[0].shape[1]
    if length is not None and length <= LONGEST_LOOP:
        return _unrolled(a, b, initial)
    if length is None and not levels:
        return _loop(a, b, initial)
    products, sums = _within_chunks(*_in_chunks(a, b))
    ends = _at_ends(a, b, products, sums)
    after_chunks = _chunked(*ends, initial, levels - 1)
    starts = [
        _merged(ops.concatenate([s[:, None], after[:, :-1]], 1))[:, None]
        for s, after in zip(initial, after_chunks, strict=True)
    ]
    return [_steps(one, b[0]) for one in _applied(products, starts, sums)]


def _in_chunks(a: Matrix, b: Vector) -> tuple[Matrix, Vector]:
    return {place: _chunks(one) if _varies(one) else one for place, one in a.items()}, [_chunks(one) for one in b]


def _chunks(x: Tensor) -> Tensor:
    """Return x (n, T, h) as (n chunks, CHUNK, h), with zeros behind the last step."""
    length, units = ops.shape(x)[1], x.shape[2]
    padding = ops.zeros_like(x[:, :1]) + ops.zeros((1, CHUNK - 1, 1), x.dtype)
    whole = ops.concatenate([x, padding], 1)[:, : (length + CHUNK - 1) // CHUNK * CHUNK]
    return ops.reshape(whole, (-1, CHUNK, units))


def _merged(x: Tensor) -> Tensor:
    """Return x (n, chunks, h) as (n chunks, h)."""
    return ops.reshape(x, (-1, x.shape[2]))


def _steps(chunks: Tensor, like: Tensor) -> Tensor:
    """Return (n chunks, CHUNK, h) as (n, T, h)."""
    batch_size, length = ops.shape(like)[:2]
    steps = (length + CHUNK - 1) // CHUNK * CHUNK
    return ops.reshape(chunks, (batch_size, steps, chunks.shape[2]))[:, :length]


def _at_ends(a: Matrix, b: Vector, products: Matrix, sums: Vector) -> tuple[Matrix, Vector]:
    """Return the coefficients of whole chunks, (n, chunks, h) each, or (h,) for the same in all chunks."""
    batch_size, length = ops.shape(b[0])[:2]
    shape = (batch_size, (length + CHUNK - 1) // CHUNK, b[0].shape[2])

    def end(one: Tensor) -> Tensor:
        return ops.reshape(one[:, -1], shape)

    of_states = {place: end(one) if len(one.shape) == 3 else one[-1] for place, one in products.items()}
    return of_states, [end(one) for one in sums]


def _within_chunks(a: Matrix, b: Vector) -> tuple[Matrix, Vector]:
    """Return the products of the coefficients, and the states of chunks that start with 0, after each step.

    Args:
        a: Coefficients, (rows, CHUNK, h) each, or (h,).
        b: Terms that are added, (rows, CHUNK, h) each.

    Returns:
        Both (rows, CHUNK, h) each; (CHUNK, h) for products of coefficients that are the same in all steps.
    """
    coefficients, terms = _each_step(a, b)
    products, sums = [coefficients[0]], [terms[0]]
    for coefficient, term in zip(coefficients[1:], terms[1:], strict=True):
        products.append(_multiplied(coefficient, products[-1]))
        sums.append(_applied(coefficient, sums[-1], term))
    joined = {place: _stacked([each[place] for each in products]) for place in a}
    return joined, [ops.stack(steps, 1) for steps in zip(*sums, strict=True)]


def _stacked(steps: Sequence[Tensor]) -> Tensor:
    varying = next((one for one in steps if _varies(one)), None)
    if varying is None:
        return ops.stack(steps, 0)
    return ops.stack([one if _varies(one) else one + ops.zeros_like(varying) for one in steps], 1)


def _each_step(a: Matrix, b: Vector) -> tuple[list[Matrix], list[Vector]]:
    """Return the coefficients and the terms of each of a known number of steps."""
    count = b[0].shape[1]
    coefficients = {place: ops.unstack(one, count, 1) if _varies(one) else [one] * count for place, one in a.items()}
    terms = [ops.unstack(one, count, 1) for one in b]
    each: list[Matrix] = [{place: steps[t] for place, steps in coefficients.items()} for t in range(count)]
    added: list[Vector] = [[steps[t] for steps in terms] for t in range(count)]
    return each, added


def _unrolled(a: Matrix, b: Vector, initial: Vector) -> list[Tensor]:
    states, results = initial, []
    for coefficients, added in zip(*_each_step(a, b), strict=True):
        states = _applied(coefficients, states, added)
        results.append(states)
    return [ops.stack(steps, 1) for steps in zip(*results, strict=True)]


def _loop(a: Matrix, b: Vector, initial: Vector) -> list[Tensor]:
    """Return the states after an unknown number of steps."""
    places = [place for place, one in a.items() if _varies(one)]
    inputs = [*(a[place] for place in places), *b]

    def step(x: Tensor, states: Vector) -> tuple[Tensor, list[Tensor]]:
        now = ops.split(x, len(inputs), -1)
        after = _applied({**a, **dict(zip(places, now, strict=False))}, states, now[len(places) :])
        return ops.concatenate(after, -1), after

    # `keras.ops.scan` of Keras 3.15 does not support an unknown number of steps on TensorFlow
    _, outputs, _ = _compat.backend_rnn()(step, ops.concatenate(inputs, -1), list(initial))
    return ops.split(outputs, len(b), -1)
