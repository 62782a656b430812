"""Task family for language models, which predict the next symbol (character, word, or byte) of a text."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from rich.panel import Panel
from rich.text import Text
from typing_extensions import override

from deeprnn_keras import checks, progress
from deeprnn_keras.data.data_files import RECORDING_OPTIONS, DataFiles
from deeprnn_keras.tasks.family import (
    Configuration,
    ConfigurationT,
    EvaluationRecord,
    Family,
    check_generation_options,
)
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.report import score_table
from deeprnn_keras.tasks.run import MODEL, PROGRAM, Plan, Run
from deeprnn_keras.tasks.text_batches import split_text, text_batches, text_plan

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data import TextCorpus
    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.corpus import TextSplit
    from deeprnn_keras.data.vocabulary import TextVocabulary
    from deeprnn_keras.generation import Score
    from deeprnn_keras.models import LanguageModel
    from deeprnn_keras.program import Program
    from deeprnn_keras.training.recipe import Recipe

SAMPLE_PROMPT_LENGTH, SAMPLE_LENGTH = 40, 400  # in symbols
SAMPLE_TEMPERATURE = 0.7
GENERATION_OPTIONS = ("length", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop", "seed")


class LanguageConfiguration(Configuration, Protocol):
    """The part of `deeprnn_keras.zoo.LanguageModelConfig` that the family uses."""

    @property
    def vocabulary(self) -> int | str | tuple[str, ...]:
        """Size of the vocabulary, or its symbols."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Size of the vocabulary, V."""
        ...

    @property
    def symbols(self) -> str:
        """Kind of symbols: "characters", "words", or "bytes"."""
        ...

    @property
    def letters(self) -> bool:
        """True if the text is reduced to lower-case letters and spaces."""
        ...


@dataclass
class LanguageRun(Run):
    """The outcome of training a language model.

    Attributes:
        references: `(name, bits per symbol)` of compressors on the validation text.
        prompt: Beginning of the validation text, which the sample continues.
        sample: Prompt and generated text, or None if the run has not finished.
        test_score: Score on the test text of an official split, or None.
    """

    references: tuple[tuple[str, float], ...] = ()
    prompt: str = ""
    sample: str | None = None
    test_score: Score | None = None


@register
class LanguageFamily(Family):
    """Task family of models that predict the next character, word, or byte of a text."""

    name = "language"
    order = 0
    intended_use = "scoring and continuation of text similar to the training text; comparison of recurrent networks"
    limits = "Generated text is plausible rather than factual, and reproduces the biases of the training text."
    unsupported_options = RECORDING_OPTIONS
    program_kinds = ("language",)
    files = (("model", MODEL), ("program", PROGRAM), ("learning curve", "curve.png"), ("results", "result.json"))

    # === Models and data ===
    @override
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is a `LanguageModel`."""
        from deeprnn_keras.models import LanguageModel

        return isinstance(model, LanguageModel)

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> TextCorpus:
        """Load the text of a configuration, with the vocabulary that its models read; see `load_files`."""
        return self.load_files(config, DataFiles(path))

    @override
    def load_files(self, config: Configuration | None, files: DataFiles) -> TextCorpus:
        """Load the text of a configuration, with the vocabulary that its models read, and its official split if passed.

        For word-level models, the vocabulary consists of the most frequent words of the training text, "<eos>" for line
        ends, and "<unk>" for all other words. For character-level models, it consists of the characters of all texts.

        Raises:
            ValueError: If the text of the configuration is not included in the package and no file is passed, or
                recordings are passed.
        """
        from deeprnn_keras.data import TextCorpus

        self.refuse_files(files.recordings())
        config = cast(LanguageConfiguration, config)
        if files.data is not None:
            corpus = TextCorpus.from_file(files.data)
        elif config.corpus is not None:
            corpus = _included_text(config.corpus)
        else:
            raise ValueError(f"the text of {config.name} ({config.data}) is not included; pass one with --text FILE")
        others = {name: TextCorpus.from_file(path) for name, path in files.official().items()}
        texts = [_reduce(config, one.text) for one in (corpus, *others.values())]
        vocabulary = _vocabulary(config, texts)
        parts = {
            name: TextCorpus(text, one.name, vocabulary)
            for (name, one), text in zip(others.items(), texts[1:], strict=True)
        }
        return TextCorpus(texts[0], corpus.name, vocabulary, validation=parts.get("valid"), test=parts.get("test"))

    @override
    def data_included(self, config: Configuration) -> bool:
        """Return whether the package includes the text."""
        return config.corpus is not None

    @override
    def configure(self, config: ConfigurationT, data: TextCorpus) -> ConfigurationT:
        """Return `config` with the vocabulary of the text."""
        return config.replace(vocabulary=data.vocabulary.symbols)

    @override
    def describe_data(self, data: TextCorpus) -> str:
        """Return the name and size of the text, and the names of the texts of an official split."""
        official = {"validation": data.validation, "test": data.test}
        names = [f"{part} text {corpus.name}" for part, corpus in official.items() if corpus is not None]
        return "; ".join([f"{data.name}, {data.describe()}", *names])

    @override
    def data_record(self, data: TextCorpus) -> dict[str, Any]:
        """Return the name, length, and SHA-256 of the text, and of the texts of an official split."""
        record = _text_record("text", data)
        for name, corpus in (("validation_text", data.validation), ("test_text", data.test)):
            record |= {} if corpus is None else {name: _text_record("text", corpus)}
        return record

    # === Training ===
    @override
    def plan(
        self,
        model: LanguageModel,
        data: TextCorpus,
        recipe: Recipe,
        *,
        seed: int,
        quick: bool = False,
        updates: int | None = None,
    ) -> Plan:
        """Return the batches and the number of epochs of a run.

        Raises:
            ValueError: If the text is too short, or its vocabulary differs from the model's.
        """
        quick = checks.flag("quick", quick)
        if data.vocabulary != model.vocabulary:
            raise ValueError(
                f"{data.name} and model {model.name!r} have different vocabularies; use model.corpus(text)"
            )
        return text_plan(model, data, split_text(data, recipe), recipe, quick, seed, updates)

    @override
    def new_run(self, directory: Path) -> LanguageRun:
        return LanguageRun(directory)

    @override
    def callbacks(self, model: LanguageModel, console: Console) -> list[keras.callbacks.Callback]:
        """Return the history of losses and the progress bar."""
        from deeprnn_keras.training.callbacks import LossHistory
        from deeprnn_keras.training.progress import Progress

        return [LossHistory(), Progress(console, model.vocabulary.unit)]

    @override
    def finish(
        self,
        run: Run,
        model: LanguageModel,
        data: TextCorpus,
        recipe: Recipe,
        history: keras.callbacks.Callback,
        *,
        title: str | None,
        seed: int,
        console: Console,
    ) -> None:
        """Plot the learning curve and, if the run has finished, score the model and generate a sample."""
        from deeprnn_keras.training.compressors import compressed_bits
        from deeprnn_keras.training.curve import plot_curve

        run = cast(LanguageRun, run)
        split, unit = split_text(data, recipe), data.vocabulary.unit
        run.references = tuple(compressed_bits("".join(split.validation), unit))
        if run.ending == "finished":
            _score_and_sample(run, model, data, split, seed, console)
        bits = run.score.bits_per_character if run.score else None
        plot_curve(history, run.directory / "curve.png", title or model.name, run.references, bits, unit)

    @override
    def score_record(self, run: Run, data: TextCorpus) -> dict[str, Any]:
        """Return the scores on the validation and test texts and the bits per symbol of the compressors."""
        run = cast(LanguageRun, run)
        unit = data.vocabulary.unit
        test = {} if run.test_score is None else {"test": _score_values(run.test_score, unit)}
        validation = run.score and _score_values(run.score, unit)
        return {"validation": validation, **test, f"compressors_bits_per_{unit}": dict(run.references)}

    @override
    def report(self, run: Run, model: LanguageModel, console: Console) -> None:
        """Print a table of the scores of the model and of compressors, and the sample."""
        run = cast(LanguageRun, run)
        name = f"{model.name}, {model.count_params():,} parameters"
        unit = model.require_vocabulary().unit
        console.print(score_table(run.score, run.references, name, unit=unit))
        if run.test_score is not None:
            console.print(score_table(run.test_score, (), name, "test text", unit))
        sample = Text(run.sample or "")
        sample.stylize("bold", 0, len(run.prompt))
        title = f"Sample, temperature {SAMPLE_TEMPERATURE}; the prompt, from the validation text, is bold"
        console.print(Panel(sample, title=title, title_align="left", border_style="dim"))

    # === Trained models ===
    @override
    def evaluate(
        self,
        model: LanguageModel,
        config: Configuration | None,
        path: Path | None,
        console: Console,
        *,
        skip_unknown: bool = False,
    ) -> None:
        """Print the score of a model on files, or on the held-out part of the text that its configuration names.

        Files are read in chunks, see `TextSource`. The text is reduced as in training.

        Raises:
            ValueError: If `path` is None and the model was not trained on the text of its configuration.
        """
        from deeprnn_keras.data.text_source import TextSource, letter_chunks

        skip_unknown = checks.flag("skip_unknown", skip_unknown)
        if path is not None:
            source = TextSource(path)
            texts = source.texts()
            if config is not None and cast(LanguageConfiguration, config).letters:
                texts = (letter_chunks(chunks) for chunks in texts)
            _print_score(model, source.name, texts, console, skip_unknown)
            return
        included = config is not None and self.data_included(config)
        data = self.load_data(config) if included else None
        if data is None or data.vocabulary != model.require_vocabulary():
            raise ValueError(
                f"the text that model {model.name!r} was trained on is unknown; pass a text with --text FILE"
            )
        self.evaluate_data(model, config, data, console, skip_unknown=skip_unknown)

    @override
    def evaluate_data(
        self,
        model: LanguageModel,
        config: Configuration | None,
        data: TextCorpus,
        console: Console,
        *,
        skip_unknown: bool = False,
    ) -> None:
        """Print the score of a model on the held-out part of its text, and on the test text of an official split."""
        skip_unknown = checks.flag("skip_unknown", skip_unknown)
        recipe = cast(Configuration, config).recipe
        name = f"{data.name}, held-out part" if data.validation is None else f"{data.validation.name}, validation text"
        _print_score(model, name, split_text(data, recipe).validation, console, skip_unknown)
        if data.test is not None:
            _print_score(model, f"{data.test.name}, test text", [data.test.text], console, skip_unknown)

    @override
    def generate(
        self,
        model: LanguageModel | Program,
        config: Configuration | None,
        options: Mapping[str, Any],
        console: Console,
    ) -> None:
        """Print a continuation of the prompt piece by piece, or several, separated by lines "---", at the end.

        Raises:
            ValueError: If --prompt is missing, or an option that has no effect is passed.
        """
        from deeprnn_keras.generation import generate

        optional = (*GENERATION_OPTIONS, "num_samples", "skip_unknown")
        check_generation_options("language models", options, required="prompt", optional=optional)
        arguments = {name: options[name] for name in GENERATION_OPTIONS if name in options}
        arguments = {"length": SAMPLE_LENGTH, "temperature": SAMPLE_TEMPERATURE, **arguments}
        arguments["unknown"] = "skip" if options.get("skip_unknown") else "error"
        num_samples = options.get("num_samples", 1)
        if num_samples == 1:
            _print_continuation(model, options["prompt"], arguments)
            return
        with progress.shown(console, "Generating", "symbols"):
            texts = generate(model, options["prompt"], num_samples=num_samples, **arguments)
        print("\n---\n".join(cast(list[str], texts)))

    @override
    def evaluation_record(self, config: Configuration, model: LanguageModel, path: Path | None) -> EvaluationRecord:
        """Return the score on the validation text.

        The metric is the perplexity for word-level models and for recipes that state a number of windows, and bits per
        symbol otherwise.

        Raises:
            ValueError: If the text is not that of the configuration.
        """
        from deeprnn_keras.training.step_time import first_batch

        corpus, recipe = self.load_data(config, path), config.recipe
        if (path and self.data_included(config)) or corpus.vocabulary != model.vocabulary:
            raise ValueError(f"--record requires the text that {config.name} was trained on, got {corpus.name}")
        split = split_text(corpus, recipe)
        train, validation = text_batches(
            corpus.encode(split.train), corpus.encode(split.validation), recipe, short_validation=False, seed=0
        )
        metrics = _validation_metrics(cast(LanguageConfiguration, config), model, split, validation)
        return EvaluationRecord(corpus.name, "validation", metrics, first_batch(train(None)))

    # === Tuning ===
    @override
    def check_tunable(self, config: Configuration) -> None:
        """Accept every configuration."""

    @override
    def trial_batches(self, data: TextCorpus, recipe: Recipe, steps: int | None, seed: int) -> tuple[Batches, Batches]:
        """Return the training batches and a short validation set for the trials of a search."""
        split = split_text(data, recipe)
        train, validation = text_batches(
            data.encode(split.train), data.encode(split.validation), recipe, short_validation=True, seed=seed
        )
        return train(steps), validation

    @override
    def objective_unit(self, data: TextCorpus) -> tuple[str, float]:
        """Return bits per symbol as the objective."""
        return f"bits per {data.vocabulary.unit}", 1 / math.log(2)


def _print_continuation(model: LanguageModel | Program, prompt: str, arguments: Mapping[str, Any]) -> None:
    """Print a prompt, without skipped symbols, and its continuation while it is generated."""
    from deeprnn_keras.generation import generate_stream
    from deeprnn_keras.generation.continuation import as_program, program_vocabulary

    program = as_program(model)
    pieces = generate_stream(program, prompt, **arguments)  # checks the arguments before anything is printed
    vocabulary = program_vocabulary(program)
    known = vocabulary.decode(vocabulary.encode(prompt, arguments["unknown"]))
    try:
        print(known, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
    finally:  # Ctrl-C, too, ends the line
        print()


def _included_text(name: str) -> TextCorpus:
    """Return the text that the function `name` of `deeprnn_keras.data` loads."""
    from deeprnn_keras import data

    return getattr(data, name)()


def _reduce(config: LanguageConfiguration, text: str) -> str:
    """Return a text as the models of a configuration read it."""
    from deeprnn_keras.data import letters_only

    return letters_only(text) if config.letters else text


def _vocabulary(config: LanguageConfiguration, texts: Sequence[str]) -> TextVocabulary:
    """Return the vocabulary of the models of a configuration.

    Args:
        config: The configuration.
        texts: The training text, and the texts of an official split.
    """
    from deeprnn_keras.data import ByteVocabulary, Vocabulary, WordVocabulary

    if config.symbols == "words":
        return WordVocabulary.from_text(texts[0], config.vocabulary_size, end_of_line=True)
    if config.symbols == "bytes":
        return ByteVocabulary()
    if config.letters:
        return Vocabulary(cast(str, config.vocabulary))
    return Vocabulary.from_text("".join(texts))


def _text_record(name: str, corpus: TextCorpus) -> dict[str, Any]:
    digest = hashlib.sha256(corpus.text.encode("utf-8", "surrogatepass")).hexdigest()
    return {name: corpus.name, "characters": len(corpus), "sha256": digest}


def _score_values(score: Score, unit: str) -> dict[str, Any]:
    """Return a score as JSON values."""
    return {
        f"{unit}s": score.count,
        "cross_entropy": score.cross_entropy,
        "perplexity": score.perplexity if math.isfinite(score.perplexity) else None,
        f"bits_per_{unit}": score.bits_per_character,
    }


def _print_score(
    model: LanguageModel,
    name: str,
    texts: Sequence[str] | Iterator[Iterable[str]],
    console: Console,
    skip_unknown: bool,
) -> None:
    """Print the score of a model and of compressors on texts, or on an iterator over the chunks of each text."""
    import numpy as np

    from deeprnn_keras.data.text_source import encoded_chunks
    from deeprnn_keras.generation import score
    from deeprnn_keras.training.compressors import CompressedText

    vocabulary = model.require_vocabulary()
    compressed = CompressedText(vocabulary.unit)

    def encoded(chunks: Iterable[str]) -> Iterator[np.ndarray]:
        if skip_unknown and vocabulary.unit == "character":  # the compressors receive what the model reads
            chunks = (vocabulary.decode(vocabulary.encode(chunk, "skip")) for chunk in chunks)
        return encoded_chunks(compressed.keep(chunks), vocabulary, "skip" if skip_unknown else "error", name)

    pieces = (encoded([text] if isinstance(text, str) else text) for text in texts)
    streamed = isinstance(texts, Iterator)
    with progress.shown(console, "Scoring", "MB" if streamed else "batches"):
        result = score(model, pieces if streamed else [np.concatenate(list(piece)) for piece in pieces])
    console.print(score_table(result, compressed.bits(), model.name, name, vocabulary.unit))


def _score_and_sample(
    run: LanguageRun, model: LanguageModel, corpus: TextCorpus, split: TextSplit, seed: int, console: Console
) -> None:
    from deeprnn_keras.writing import save_text

    with progress.shown(console, "Scoring the validation text", "batches"):
        run.score = model.score(split.validation)
    if corpus.test is not None:
        with progress.shown(console, "Scoring the test text", "batches"):
            run.test_score = model.score(corpus.test.text)
    with progress.shown(console, "Generating a sample", "symbols"):
        run.prompt = corpus.prefix(split.validation[0], SAMPLE_PROMPT_LENGTH)
        run.sample = cast(str, model.generate(run.prompt, SAMPLE_LENGTH, temperature=SAMPLE_TEMPERATURE, seed=seed))
    save_text(f"{run.sample}\n", run.directory / "sample.txt")


def _validation_metrics(
    config: LanguageConfiguration, model: LanguageModel, split: TextSplit, validation: Batches
) -> dict[str, float]:
    if config.recipe.train_windows is not None:  # these recipes define validation on windows with zero initial states
        from deeprnn_keras.training.callbacks import ReportProgress

        model.compile(loss=model.loss_function())
        return {"perplexity": math.exp(model.evaluate(validation, verbose=0, callbacks=[ReportProgress()]))}
    score = model.score(split.validation)
    if config.symbols == "words":
        return {"perplexity": score.perplexity}
    return {f"bits per {config.symbols[:-1]}": score.bits_per_character}
