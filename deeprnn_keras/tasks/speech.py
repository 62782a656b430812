"""Task family for the labeling of unsegmented sequences by CTC, for example of speech with phonemes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel

BEAM_WIDTH = 100  # as Graves, Mohamed & Hinton 2013


@register
class SpeechFamily(SequenceFamily):
    """Task family of models that read a sequence of labels in a longer series without segmentation."""

    name = "speech"
    intended_use = "labeling of series similar to the training data; comparison of recurrent networks"
    limits = "The model reads whole series; it does not state where a label begins or ends."
    kinds = ("ctc",)

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the error rates of best-path decoding and of a beam search, the number of labels, and of series.

        An error rate is the edit distance divided by the number of labels; of phonemes, it is the phone error rate.
        """
        from deeprnn_keras.models.ctc import label_error_rate

        greedy, beam = (model.predict_labels(part.series, beam_width=width) for width in (None, BEAM_WIDTH))
        rates = {"label_error_rate": greedy, f"label_error_rate_beam_{BEAM_WIDTH}": beam}
        return {
            **{name: label_error_rate(part.targets, labels) for name, labels in rates.items()},
            "labels": sum(map(len, part.targets)),
            "examples": len(part),
        }
