"""Effect of each part of the AWD-LSTM on 400,000 characters of the King James Bible.

python -m benchmarks.awd_parts            # trains what is missing, 2 at a time, and updates docs/layers.md
python -m benchmarks.awd_parts --report   # prints the table of the results so far

The text is so short that a model without regularization soon learns it by heart. "all" is trained with every part,
"without NAME" with all but one, and "none" with none. All trainings make `UPDATES` updates, each in a process with one
thread; results are appended to benchmarks/results/awd_parts/results.csv, and what is there is not trained again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.single_thread import Trainings

NAME = "parts of AWD"
RESULTS = Path(__file__).resolve().parent / "results" / "awd_parts" / "results.csv"
CHARACTERS = 400_000
UNITS, LAYERS = 192, 2
UPDATES = 3_000
SEEDS = (0, 1)
PARTS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "weight_dropout": ({"weight_dropout": 0.3}, {}),
    "variational_dropout": (
        {"input_dropout": 0.1, "variational_dropout": [0.0, 0.2], "output_dropout": 0.2, "variational": True},
        {},
    ),
    "embedding_dropout": ({"embedding_dropout": 0.02}, {}),
    "ar_tar": ({}, {"ar": 1.0, "tar": 0.5}),
    "tied": ({"tied": True}, {}),
    "random_bptt": ({}, {"random_bptt": True}),
    "averaging": ({}, {"averaging": "ema"}),
}
"""Arguments of `LanguageModel` and of `Recipe` by part."""

MODELS: Mapping[str, Sequence[str]] = {
    "all": list(PARTS),
    **{f"without {name}": [other for other in PARTS if other != name] for name in PARTS},
    "none": [],
}
"""Parts of each model."""


def train(name: str, seed: int) -> dict[str, Any]:
    """Train a model and return its scores, in bits per character."""
    import keras

    from deeprnn_keras import LanguageModel, Recipe, TBPTTDataset, TextCorpus, king_james
    from deeprnn_keras.training import CosineDecay

    keras.utils.set_random_seed(seed)
    corpus = TextCorpus(king_james().text[:CHARACTERS])
    split = corpus.split()
    arguments, options = (
        {key: value for part in MODELS[name] for key, value in PARTS[part][k].items()} for k in (0, 1)
    )
    recipe = Recipe("adam", 3e-3, CosineDecay(0.05), warmup=50, global_clipnorm=1.0, stateful=True, **options)
    model = LanguageModel(
        corpus.vocabulary.symbols, UNITS, LAYERS, embedding=UNITS, stateful=True, seed=seed, **arguments
    )
    data = TBPTTDataset(
        corpus.encode(split.train), recipe.batch_size, recipe.bptt, random_bptt=recipe.random_bptt, seed=seed
    )
    model, callbacks = recipe.prepare(model, model.loss_function(), data)
    epochs = round(UPDATES / len(data))
    model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return {
        "parameters": model.count_params(),
        "updates": epochs * len(data),
        "training_bits": round(model.score(split.train).bits_per_character, 4),
        "validation_bits": round(model.score(split.validation).bits_per_character, 4),
    }


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the scores of each model as a Markdown table, with the difference to "all"."""
    bits = {name: _scores(rows, name, "validation_bits") for name in MODELS}
    lines = ["| model | bits per character | difference | on the training text | seeds |", "|---|---|---|---|---|"]
    for name, scores in bits.items():
        if not scores:
            continue
        deviation = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
        difference = f"{mean(scores) - mean(bits['all']):+.3f}" if bits["all"] and name != "all" else ""
        training = mean(_scores(rows, name, "training_bits"))
        lines.append(f"| {name} | {mean(scores):.3f}{deviation} | {difference} | {training:.3f} | {len(scores)} |")
    return "\n".join(lines)


def _scores(rows: Sequence[Mapping[str, str]], name: str, column: str) -> list[float]:
    return [float(row[column]) for row in rows if row["name"] == name]


TRAININGS = Trainings(
    "benchmarks.awd_parts",
    RESULTS,
    train,
    [(name, seed) for seed, name in product(SEEDS, MODELS)],
    table,
    page="docs/layers.md",
    block=NAME,
)
build_blocks = TRAININGS.build_blocks

if __name__ == "__main__":
    TRAININGS.run(tuple(sys.argv[1:]))
