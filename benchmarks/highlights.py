"""Models of the zoo with trained weights in the README, from `zoo/results.csv`.

python -m benchmarks.highlights
"""

from __future__ import annotations

from benchmarks.generated import update_pages
from deeprnn_keras import zoo
from deeprnn_keras.bench.report import markdown_table
from deeprnn_keras.bench.tables import TextTable

NAME = "highlights"
MODELS = {  # and what each does
    "kjv_lstm_2x512": "characters of the King James Bible",
    "kjv_gru_2x256": "the same, smaller",
    "vowels_bigru_2x64": "9 speakers by 12 features of a vowel",
    "bach_lstm_2x256": "next notes of chorales, 88 keys",
    "temperature_deepar": "temperatures of the next day, with intervals",
}


def build_blocks() -> dict[str, str]:
    """Return the block of each page."""
    headings = ["Model", "Subject", "Parameters", "Held-out result"]
    return {"README.md": markdown_table(TextTable("", headings, [*map(_row, MODELS)], "llrl")) + "\n"}


def _row(name: str) -> list[str]:
    (result, *_) = (one for one in zoo.results.results_of(name) if one.metric != zoo.results.STEP_TIME)
    return [f"`{name}`", MODELS[name], f"{zoo.count_params(name):,}", f"{result.value} {result.metric}"]


if __name__ == "__main__":
    update_pages(NAME, build_blocks())
