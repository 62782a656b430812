"""Polyphonic music: the notes of the next frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras.tasks.family import Configuration
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel

OPENING = 8  # frames of a test piece that generated music begins with


@register
class MusicFamily(SequenceFamily):
    """Models that predict which notes sound in the next frame."""

    name = "music"
    intended_use = "to score and to continue pieces of the kind it was trained on; to compare recurrent networks"
    limits = "It gives each note of a frame a probability by itself: of chords it knows what came before."
    kinds = ("notes",)

    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the nats per frame, over all frames."""
        nats = frames = 0.0
        for probabilities, notes in zip(model.predict_proba(part.series), part.targets, strict=True):
            p = np.clip(np.where(notes, probabilities, 1 - probabilities), 1e-12, 1)
            nats, frames = nats - float(np.log(p).sum()), frames + len(notes)
        return {"nats_per_frame": nats / frames, "pieces": len(part)}

    def generate(
        self, model: SequenceModel, config: Configuration | None, options: Mapping[str, Any], console: Console
    ) -> None:
        """Continue the opening of a test piece, which the seed selects, and write a MIDI file."""
        from deeprnn_keras.data import write_midi

        if "prompt" in options or "output" not in options:
            raise ValueError(
                "models of music continue a test piece and write it to --output FILE.mid; leave out --prompt"
            )
        pieces, seed = self.load_data(config, options.get("data")).test.series, options.get("seed")
        start = pieces[(seed or 0) % len(pieces)][:OPENING]
        sampling = {"temperature": options.get("temperature", 0.9), "notes": options.get("notes"), "seed": seed}
        with console.status("composing"):
            roll = model.generate(start, options.get("length", 128), **sampling)
        write_midi(roll, options["output"])
        console.print(f"{len(roll)} frames saved to {options['output']}", soft_wrap=True, highlight=False)
