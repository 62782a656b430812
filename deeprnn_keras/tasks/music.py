"""Task family for polyphonic music: prediction of the notes of the next frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from deeprnn_keras import progress
from deeprnn_keras.tasks.family import Configuration, check_generation_options
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel
    from deeprnn_keras.program import Program

OPENING_FRAMES = 8  # length of the opening of a test piece that the model continues


@register
class MusicFamily(SequenceFamily):
    """Task family of models that predict the notes of the next frame of a piece."""

    name = "music"
    intended_use = "scoring and continuation of pieces similar to the training data; comparison of recurrent networks"
    limits = "The notes of a frame are predicted independently of each other, given the previous frames."
    kinds = program_kinds = ("notes",)

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the negative log-likelihood in nats per frame, averaged over all frames, and the number of pieces."""
        nats = frames = 0.0
        for probabilities, notes in zip(model.predict_proba(part.series), part.targets, strict=True):
            p = np.clip(np.where(notes, probabilities, 1 - probabilities), 1e-12, 1)
            nats, frames = nats - float(np.log(p).sum()), frames + len(notes)
        return {"nats_per_frame": nats / frames, "pieces": len(part)}

    @override
    def generate(
        self,
        model: SequenceModel | Program,
        config: Configuration | None,
        options: Mapping[str, Any],
        console: Console,
    ) -> None:
        """Continue the opening of a test piece, which the seed selects, and write a MIDI file.

        Raises:
            ValueError: If --output is missing, or an option that has no effect is passed.
        """
        from deeprnn_keras.data import write_midi
        from deeprnn_keras.generation import generate_notes

        models = "music models, which continue the opening of a test piece,"
        optional = ("length", "temperature", "notes", "seed", "data")
        check_generation_options(models, options, required="output", optional=optional)
        pieces, seed = self.load_data(config, options.get("data")).test.series, options.get("seed")
        opening = pieces[(seed or 0) % len(pieces)][:OPENING_FRAMES]
        sampling = {"temperature": options.get("temperature", 0.9), "notes": options.get("notes"), "seed": seed}
        with progress.shown(console, "Generating", "frames"):
            roll = generate_notes(model, opening, options.get("length", 128), **sampling)
        write_midi(roll, options["output"])
        console.print(f"{len(roll)} frames saved to {options['output']}", soft_wrap=True, highlight=False)
