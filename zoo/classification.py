"""Sequence classification and regression models."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.registry import register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

PIXEL_MODEL: Config = {
    "task": "classification",
    "data": "MNIST, 28 x 28 pixels read one at a time: 784 steps with 1 feature in [0, 1]",
    "corpus": "sequential_mnist",
    "inputs": 1,
    "outputs": 10,
    "length": 784,
    "scale": 1 / 255,
    "labels": tuple(range(10)),
}
BAI_2018: Config = {
    "paper": "Bai, Kolter & Koltun 2018, An Empirical Evaluation of Generic Convolutional and Recurrent Networks",
    "url": "https://arxiv.org/abs/1803.01271",
}
LE_2015: Config = {
    "paper": "Le, Jaitly & Hinton 2015, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    "url": "https://arxiv.org/abs/1504.00941",
}
register(
    SequenceModelConfig(
        name="imdb_bilstm_2x64",
        params=2_757_761,
        title="Bidirectional LSTM for movie reviews, from keras.io",
        task="classification",
        paper="Keras code example, Bidirectional LSTM on IMDB",
        url="https://keras.io/examples/nlp/bidirectional_lstm_imdb/",
        data="IMDB movie reviews, the 20,000 most frequent words, the last 200 words of each review",
        inputs=20_000,
        outputs=1,
        kind="binary",
        length=200,
        embedding=128,
        units=64,
        num_layers=2,
        bidirectional=True,
        initialization=Initialization("keras"),
        recipe=Recipe("adam", 1e-3, batch_size=32, bptt=200, epochs=2),
        published="validation accuracy 0.843 after 2 epochs",
        differs="The source reads ids of the word list that is part of the dataset. This model reads ids of a "
        "vocabulary built from the raw reviews: `words=WordVocabulary.from_text(texts, 20_000, padding=True).words`. "
        "Both pad short reviews on the left.",
    ),
    SequenceModelConfig(
        name="lstm_seq_mnist",
        params=69_950,
        title="LSTM baseline of the temporal convolutional network paper, pixels",
        units=130,
        num_layers=1,
        initialization=Initialization("keras", forget_bias=1.0),
        recipe=Recipe("rmsprop", 1e-3, global_clipnorm=1.0, batch_size=64, bptt=784, epochs=20),
        published="accuracy 87.2% (GRU 96.2%, RNN 21.5%)",
        differs="Batch size and number of epochs are taken from the authors' code; the paper does not state them.",
        **BAI_2018,
        **PIXEL_MODEL,
    ),
    SequenceModelConfig(
        name="irnn_seq_mnist",
        params=11_210,
        title="ReLU RNN with identity initialization, pixels",
        units=100,
        num_layers=1,
        cell="rnn",
        activation="relu",
        initialization=Initialization("irnn", 0.001),
        recipe=Recipe("rmsprop", 1e-6, global_clipnorm=1.0, batch_size=32, bptt=784, epochs=900),
        limits="At this learning rate, training takes days on a CPU.",
        published="error 5.0% after about 1 million updates; accuracy 0.93 after 900 epochs in the Keras example",
        differs="Optimizer, learning rate, batch size, and epochs are those of the Keras example; the paper uses SGD "
        "with a learning rate of 1e-8 and gradient clipping between 1 and 100.",
        **LE_2015,
        **PIXEL_MODEL,
    ),
    SequenceModelConfig(
        name="adding_lstm_2x77",
        params=72_458,
        title="Adding problem: sum of 2 marked numbers in a sequence of 200",
        task="regression",
        corpus="adding_split",
        data="generated: a random number and a marker at each of 200 steps; the target is the sum of the "
        "2 marked numbers",
        inputs=2,
        outputs=1,
        kind="numbers",
        length=200,
        units=77,
        num_layers=2,
        initialization=Initialization("keras", forget_bias=5.0),
        recipe=Recipe("sgd", 1e-3, global_clipnorm=50.0, batch_size=32, bptt=200, epochs=10),
        published="no number, only a learning curve (Figure 2)",
        differs="Batch size and number of epochs are taken from the authors' code.",
        **BAI_2018,
    ),
    SequenceModelConfig(
        name="vowels_bigru_2x64",
        params=105_609,
        title="Classifier of short multivariate series of variable length",
        task="classification",
        paper="none: a configuration of this project",
        url="",
        data="Japanese Vowels, 9 speakers, 12 cepstral coefficients, 7 to 29 steps: 270 training and 370 test "
        "sequences",
        limits="The training data contain 9 speakers, who all utter the same 2 vowels.",
        corpus="japanese_vowels",
        inputs=12,
        outputs=9,
        labels=tuple(range(1, 10)),
        masks=True,
        units=64,
        num_layers=2,
        cell="gru",
        bidirectional=True,
        input_dropout=0.1,
        dropout=0.3,
        output_dropout=0.3,
        recipe=Recipe("adam", 3e-3, CosineDecay(final=0.02), global_clipnorm=1.0, batch_size=16, bptt=29, epochs=60),
    ),
    SequenceModelConfig(
        name="digits_gru_2x64",
        params=38_474,
        title="Handwritten digit classifier, read pixel by pixel",
        task="classification",
        paper="none: a configuration of this project",
        url="",
        corpus="digits",
        data="scikit-learn digits, 8 x 8 pixels read one at a time: 64 steps; the last 397 of 1,797 images are held "
        "out",
        inputs=1,
        outputs=10,
        length=64,
        offset=-4.88,
        scale=1 / 6.02,
        labels=tuple(range(10)),
        units=64,
        num_layers=2,
        cell="gru",
        dropout=0.4,
        output_dropout=0.5,
        recipe=Recipe("adam", 4e-3, CosineDecay(final=0.02), global_clipnorm=1.0, batch_size=32, bptt=64, epochs=60),
    ),
)
