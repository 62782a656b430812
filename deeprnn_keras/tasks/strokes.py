"""Task family for online handwriting: prediction of the next point of the pen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from deeprnn_keras import checks, progress
from deeprnn_keras.tasks.family import Configuration, check_generation_options
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel
    from deeprnn_keras.program import Program

BATCH_SIZE = 32


@register
class StrokesFamily(SequenceFamily):
    """Task family of models that predict the distribution of the next point of pen strokes."""

    name = "strokes"
    intended_use = "scoring and generation of handwriting similar to the training data; comparison of models"
    limits = "The model is trained on the path of the pen, not on the text: it generates shapes that resemble letters."
    kinds = program_kinds = ("strokes",)

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the negative log-likelihood per line and per point, in nats, and the number of lines.

        It depends on the unit of the offsets: twice the unit adds log 4 nats per point.
        """
        loss, nats = model.loss_function(), 0.0
        batches = self.batches(model, part, BATCH_SIZE, shuffle=False)
        for x, y, weights in progress.tracked(batches, len(batches)):
            nats += float(loss(y, model(x, training=False), sample_weight=weights)) * float(np.sum(weights))
        points = sum(map(len, part.series))
        return {"nats_per_line": nats / len(part), "nats_per_point": nats / points, "lines": len(part)}

    @override
    def generate(
        self,
        model: SequenceModel | Program,
        config: Configuration | None,
        options: Mapping[str, Any],
        console: Console,
    ) -> None:
        """Write a line and save it as a picture.

        The temperature t is at most 1; it corresponds to the bias -log t of `generate_strokes`.

        Raises:
            ValueError: If --output is missing, or an option that has no effect is passed.
        """
        from deeprnn_keras.data import draw_strokes
        from deeprnn_keras.generation import generate_strokes

        optional = ("length", "temperature", "seed")
        check_generation_options("models of pen strokes", options, required="output", optional=optional)
        temperature = checks.positive("temperature", options.get("temperature", 1.0))
        if temperature > 1:
            raise ValueError(f"temperature must be at most 1 for models of pen strokes, got {temperature:g}")
        with progress.shown(console, "Generating", "points"):
            length, bias = options.get("length", 600), -math.log(temperature)
            strokes = generate_strokes(model, length, bias=bias, seed=options.get("seed"))
        draw_strokes(strokes, options["output"])
        console.print(f"{len(strokes)} points saved to {options['output']}", soft_wrap=True, highlight=False)
