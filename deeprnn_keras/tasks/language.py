"""Task family for language models, which predict the next symbol (character, word, or byte) of a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from rich.panel import Panel
from rich.text import Text
from typing_extensions import override

from deeprnn_keras import progress
from deeprnn_keras.tasks.family import Configuration, ConfigurationT, EvaluationRecord, Family, flags
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.report import score_table
from deeprnn_keras.tasks.run import Plan, Run
from deeprnn_keras.tasks.text_batches import split_text, text_batches, text_plan

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data import TextCorpus
    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.corpus import TextSplit
    from deeprnn_keras.models import LanguageModel
    from deeprnn_keras.training.recipe import Recipe

SAMPLE_PROMPT_LENGTH, SAMPLE_LENGTH = 40, 400  # in symbols
SAMPLE_TEMPERATURE = 0.7


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
    """

    references: tuple[tuple[str, float], ...] = ()
    prompt: str = ""
    sample: str | None = None


@register
class LanguageFamily(Family):
    """Task family of models that predict the next character, word, or byte of a text."""

    name = "language"
    order = 0
    intended_use = "scoring and continuation of text similar to the training text; comparison of recurrent networks"
    limits = "Generated text is plausible rather than factual, and reproduces the biases of the training text."
    unsupported_options = ()
    files = (("model", "model.keras"), ("learning curve", "curve.png"), ("results", "result.json"))

    # === Models and data ===
    @override
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is a `LanguageModel`."""
        from deeprnn_keras.models import LanguageModel

        return isinstance(model, LanguageModel)

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> TextCorpus:
        """Load the text of a configuration, with the vocabulary that its models read.

        For word-level models, the vocabulary consists of the most frequent words of the text, "<eos>" for line ends,
        and "<unk>" for all other words.

        Raises:
            ValueError: If the text of the configuration is not included in the package and `path` is None.
        """
        from deeprnn_keras.data import ByteVocabulary, TextCorpus, Vocabulary, WordVocabulary, letters_only

        config = cast(LanguageConfiguration, config)
        if path is not None:
            corpus = TextCorpus.from_file(path)
        elif config.corpus is not None:
            corpus = _included_text(config.corpus)
        else:
            raise ValueError(f"the text of {config.name} ({config.data}) is not included; pass one with --text FILE")
        if config.symbols == "words":
            words = WordVocabulary.from_text(corpus.text, config.vocabulary_size, end_of_line=True)
            return TextCorpus(corpus.text, corpus.name, words)
        if config.symbols == "bytes":
            return TextCorpus(corpus.text, corpus.name, ByteVocabulary())
        if config.letters:
            return TextCorpus(letters_only(corpus.text), corpus.name, Vocabulary(cast(str, config.vocabulary)))
        return corpus

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
        """Return the name and size of the text."""
        return f"{data.name}, {data.describe()}"

    @override
    def data_record(self, data: TextCorpus) -> dict[str, Any]:
        """Return the name and length of the text."""
        return {"text": data.name, "characters": len(data)}

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
        """Return the score on the validation text and the bits per symbol of the compressors."""
        run = cast(LanguageRun, run)
        unit, score = data.vocabulary.unit, run.score
        validation = score and {
            f"{unit}s": score.count,
            "cross_entropy": score.cross_entropy,
            "perplexity": score.perplexity if math.isfinite(score.perplexity) else None,
            f"bits_per_{unit}": score.bits_per_character,
        }
        return {"validation": validation, f"compressors_bits_per_{unit}": dict(run.references)}

    @override
    def report(self, run: Run, model: LanguageModel, console: Console) -> None:
        """Print a table of the scores of the model and of compressors, and the sample."""
        run = cast(LanguageRun, run)
        name = f"{model.name}, {model.count_params():,} parameters"
        console.print(score_table(run.score, run.references, name, unit=model.require_vocabulary().unit))
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
        """Print the score of a model on a file, or on the validation part of the King James Bible."""
        from deeprnn_keras.data import TextCorpus, king_james
        from deeprnn_keras.training.compressors import compressed_bits

        pieces = [TextCorpus.from_file(path).text] if path else king_james().split().validation
        name = path.name if path else "King James Bible, held-out part"
        if skip_unknown:
            vocabulary = model.require_vocabulary()
            pieces = [vocabulary.decode(vocabulary.encode(piece, "skip")) for piece in pieces]
        with progress.shown(console, "Scoring", "batches"):
            score = model.score(pieces)
        unit = model.require_vocabulary().unit
        console.print(score_table(score, compressed_bits("".join(pieces), unit), model.name, name, unit))

    @override
    def generate(
        self, model: LanguageModel, config: Configuration | None, options: Mapping[str, Any], console: Console
    ) -> None:
        """Print a continuation of the prompt.

        Raises:
            ValueError: If --prompt is missing, or --output or --notes is passed.
        """
        if "prompt" not in options or options.keys() & {"output", "notes"}:
            raise ValueError(
                f"language models require --prompt TEXT and do not support --output and --notes, got {flags(options)}"
            )
        sampling = {name: options[name] for name in ("temperature", "seed") if name in options}
        sampling = {"temperature": SAMPLE_TEMPERATURE, **sampling}
        unknown = "skip" if options.get("skip_unknown") else "error"
        length = options.get("length", SAMPLE_LENGTH)
        with progress.shown(console, "Generating", "symbols"):
            text = model.generate(options["prompt"], length, unknown=unknown, **sampling)
        print(text)

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


def _included_text(name: str) -> TextCorpus:
    """Return the text that the function `name` of `deeprnn_keras.data` loads."""
    from deeprnn_keras import data

    return getattr(data, name)()


def _score_and_sample(
    run: LanguageRun, model: LanguageModel, corpus: TextCorpus, split: TextSplit, seed: int, console: Console
) -> None:
    from deeprnn_keras.training.files import save_text

    with progress.shown(console, "Scoring the validation text", "batches"):
        run.score = model.score(split.validation)
    with progress.shown(console, "Generating a sample", "symbols"):
        run.prompt = corpus.prefix(split.validation[0], SAMPLE_PROMPT_LENGTH)
        run.sample = model.generate(run.prompt, SAMPLE_LENGTH, temperature=SAMPLE_TEMPERATURE, seed=seed)
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
