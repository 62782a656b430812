"""Deep LSTMs of Graves 2013: phoneme recognition with CTC, and the prediction of handwriting."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.registry import register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

PEEPHOLE_DIFFERENCE = "The peepholes start at 0; in the source, they are drawn like the other weights."

PHONEMES: Config = {
    "task": "speech",
    "paper": "Graves, Mohamed & Hinton 2013, Speech Recognition with Deep Recurrent Neural Networks",
    "url": "https://arxiv.org/abs/1303.5778",
    "corpus": "labeled_frames",
    "data": "TIMIT (licensed), 123 features per frame: 40 filter banks and the energy, with first and second "
    "differences; 61 phonemes and the blank; a NumPy archive as described in deeprnn_keras.data.labeled_frames",
    "inputs": 123,
    "outputs": 62,
    "kind": "ctc",
    "units": 250,
    "cell": "peephole_lstm",
    "bidirectional": True,
    "masks": True,
    "initialization": Initialization("uniform", 0.1, forget_bias=0.0),
    "recipe": Recipe("sgd", 1e-4, batch_size=1, bptt=300, epochs=100, optimizer_options={"momentum": 0.9}),
    "differs": "Weight noise of 0.075, with which the source retrains the model, is not applied, and the 61 phonemes "
    f"are not mapped to the 39 of the published error rate. {PEEPHOLE_DIFFERENCE} The number of epochs was chosen by "
    "this project; bptt is the mean length of a sentence.",
}

register(
    SequenceModelConfig(
        name="graves_timit_3l",
        params=3_787_562,
        title="Bidirectional LSTM with CTC for phonemes, 3 layers",
        num_layers=3,
        published="phone error rate 18.6%",
        **PHONEMES,
    ),
    SequenceModelConfig(
        name="graves_timit_5l",
        params=6_794_562,
        title="Bidirectional LSTM with CTC for phonemes, 5 layers",
        num_layers=5,
        published="phone error rate 18.4%",
        **PHONEMES,
    ),
    SequenceModelConfig(
        name="graves_handwriting",
        params=3_368_121,
        title="Handwriting: the next point of the pen, as a mixture of 20 bivariate Gaussians",
        task="strokes",
        paper="Graves 2013, Generating Sequences With Recurrent Neural Networks",
        url="https://arxiv.org/abs/1308.0850",
        corpus="pen_strokes",
        data="IAM-OnDB (registration required), lines of handwriting as offsets of the pen and ends of strokes: the "
        "directory or archive lineStrokes",
        inputs=3,
        outputs=121,
        kind="strokes",
        units=400,
        num_layers=3,
        cell="peephole_lstm",
        connection="skip",
        recipe=Recipe(
            "rmsprop",
            1e-4,
            global_clipnorm=10.0,
            batch_size=32,
            bptt=700,
            epochs=50,
            optimizer_options={"rho": 0.95, "momentum": 0.9, "epsilon": 1e-4, "centered": True},
        ),
        published="-1041.0 nats per line (Table 3)",
        differs="The gradient of all weights is clipped to a norm of 10; the source clips the derivatives of the loss "
        "at the outputs to 100 and within the LSTM to 10. Batch size, number of epochs, initialization, and the split "
        "of the data were chosen by this project. The likelihood of a line depends on the unit of the offsets, here "
        "their standard deviation.",
    ),
)
