"""Language models: text in, the next symbol out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.text import Text

from deeprnn_keras.tasks.family import Configuration, EvaluationRecord, Family
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

SAMPLE_PROMPT, SAMPLE_LENGTH, SAMPLE_TEMPERATURE = 40, 400, 0.7


@dataclass
class LanguageRun(Run):
    """The outcome of training a language model.

    Attributes:
        references: `(name, bits per symbol)` of compressors on the validation text.
        prompt: Beginning of the validation text, which `sample` continues.
        sample: Generated text, or None if the run did not finish.
    """

    references: tuple[tuple[str, float], ...] = ()
    prompt: str = ""
    sample: str | None = None


@register
class LanguageFamily(Family):
    """Models over the characters, words, or bytes of a text."""

    name = "language"
    order = 0
    intended_use = "to score and to continue text of the kind it was trained on; to compare recurrent networks"
    limits = "What it writes is likely and not true, and repeats what its training text thinks of people."
    unsupported_options = ()
    files = (("model", "model.keras"), ("learning curve", "curve.png"), ("all figures", "result.json"))

    # === Models and data ===
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is a `LanguageModel`."""
        from deeprnn_keras.models import LanguageModel

        return isinstance(model, LanguageModel)

    def load_data(self, config: Configuration, path: Path | None = None) -> TextCorpus:
        """Return the text of a configuration in its vocabulary.

        Models of words get the most frequent words of the text, "<eos>" at line ends, and "<unk>" for the rest.

        Raises:
            ValueError: If the configuration comes without its text and there is no file.
        """
        from deeprnn_keras.data import ByteVocabulary, TextCorpus, Vocabulary, WordVocabulary, letters_only

        if path is not None:
            corpus = TextCorpus.from_file(path)
        elif config.corpus is not None:
            corpus = _packaged_text(config.corpus)
        else:
            raise ValueError(f"{config.name} comes without its text ({config.data}); give one with --text FILE")
        if config.symbols == "words":
            words = WordVocabulary.from_text(corpus.text, config.vocabulary_size, end_of_line=True)
            return TextCorpus(corpus.text, corpus.name, words)
        if config.symbols == "bytes":
            return TextCorpus(corpus.text, corpus.name, ByteVocabulary())
        if config.letters:
            return TextCorpus(letters_only(corpus.text), corpus.name, Vocabulary(config.vocabulary))
        return corpus

    def data_included(self, config: Configuration) -> bool:
        """Return whether the text comes with the package."""
        return config.corpus is not None

    def configure(self, config: Configuration, data: TextCorpus) -> Configuration:
        """Return `config` with the vocabulary of the text."""
        return config.replace(vocabulary=data.vocabulary.symbols)

    def describe_data(self, data: TextCorpus) -> str:
        """Return name and size of the text."""
        return f"{data.name}, {data.describe()}"

    def data_record(self, data: TextCorpus) -> dict[str, Any]:
        """Return name and length of the text."""
        return {"text": data.name, "characters": len(data)}

    # === Training ===
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
        """Return the batches and epochs of a run.

        Raises:
            ValueError: If the text is too short, or its vocabulary differs from the model's.
        """
        if data.vocabulary != model.vocabulary:
            raise ValueError(
                f"{data.name} and model {model.name!r} have different vocabularies; use model.corpus(text)"
            )
        return text_plan(model, data, split_text(data, recipe), recipe, quick, seed, updates)

    def new_run(self, directory: Path) -> LanguageRun:
        """Return the record of a run that starts."""
        return LanguageRun(directory)

    def monitors(self, model: LanguageModel, console: Console) -> list[keras.callbacks.Callback]:
        """Return the record of losses and the progress bar."""
        from deeprnn_keras.training.callbacks import LossHistory
        from deeprnn_keras.training.progress import Progress

        return [LossHistory(), Progress(console, model.vocabulary.unit)]

    def finish(
        self,
        run: LanguageRun,
        model: LanguageModel,
        data: TextCorpus,
        recipe: Recipe,
        history: keras.callbacks.Callback,
        *,
        title: str | None,
        seed: int,
        console: Console,
    ) -> None:
        """Score a finished run, and save the learning curve and a sample."""
        from deeprnn_keras.training.compressors import compressed_bits
        from deeprnn_keras.training.curve import plot_curve

        split, unit = split_text(data, recipe), data.vocabulary.unit
        run.references = tuple(compressed_bits("".join(split.validation), unit))
        if run.ending == "finished":
            _score_and_sample(run, model, data, split, seed, console)
        bits = run.score.bits_per_character if run.score else None
        plot_curve(history, run.directory / "curve.png", title or model.name, run.references, bits, unit)

    def score_record(self, run: LanguageRun, data: TextCorpus) -> dict[str, Any]:
        """Return the score on the validation text and the compressors' bits."""
        unit, score = data.vocabulary.unit, run.score
        validation = score and {
            f"{unit}s": score.count,
            "cross_entropy": score.cross_entropy,
            "perplexity": score.perplexity if math.isfinite(score.perplexity) else None,
            f"bits_per_{unit}": score.bits_per_character,
        }
        return {"validation": validation, f"compressors_bits_per_{unit}": dict(run.references)}

    def report(self, run: LanguageRun, model: LanguageModel, console: Console) -> None:
        """Print the score beside compressors, and the sample."""
        name = f"{model.name}, {model.count_params():,} weights"
        console.print(score_table(run.score, run.references, name, unit=model.require_vocabulary().unit))
        sample = Text(run.sample)
        sample.stylize("bold", 0, len(run.prompt))
        title = f"Sample, temperature {SAMPLE_TEMPERATURE}; the prompt, from the validation text, is bold"
        console.print(Panel(sample, title=title, title_align="left", border_style="dim"))

    # === Trained models ===
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
        with console.status("scoring"):
            score = model.score(pieces)
        unit = model.require_vocabulary().unit
        console.print(score_table(score, compressed_bits("".join(pieces), unit), model.name, name, unit))

    def generate(
        self, model: LanguageModel, config: Configuration | None, options: Mapping[str, Any], console: Console
    ) -> None:
        """Print a continuation of the prompt."""
        if "prompt" not in options or options.keys() & {"output", "notes"}:
            raise ValueError("language models continue --prompt TEXT and print it; leave out --output and --notes")
        sampling = {"temperature": 0.7, **{key: options[key] for key in ("temperature", "seed") if key in options}}
        unknown = "skip" if options.get("skip_unknown") else "error"
        print(model.generate(options["prompt"], options.get("length", 400), unknown=unknown, **sampling))

    def evaluation_record(self, config: Configuration, model: LanguageModel, path: Path | None) -> EvaluationRecord:
        """Return bits per character or byte, or the perplexity of a model of words, on the validation text."""
        from deeprnn_keras.training.step_time import first_batch

        corpus, recipe = self.load_data(config, path), config.recipe
        if (path and self.data_included(config)) or corpus.vocabulary != model.vocabulary:
            raise ValueError(f"--record scores {config.name} on its own text, got another one: {corpus.name}")
        split = split_text(corpus, recipe)
        pieces = [corpus.encode(part) for part in (split.train, split.validation)]
        train, validation = text_batches(*pieces, recipe, False, 0)
        values = _values(config, model, split, validation)
        return EvaluationRecord(corpus.name, "validation", values, first_batch(train(None)))

    # === Tuning ===
    def check_tunable(self, config: Configuration) -> None:
        """Accept every configuration."""

    def trial_batches(self, data: TextCorpus, recipe: Recipe, steps: int | None, seed: int) -> tuple[Batches, Batches]:
        """Return training batches, `steps` per epoch, and a short validation set."""
        split = split_text(data, recipe)
        train, validation = text_batches(
            data.encode(split.train), data.encode(split.validation), recipe, short_validation=True, seed=seed
        )
        return train(steps), validation

    def objective_unit(self, data: TextCorpus) -> tuple[str, float]:
        """Return bits per symbol."""
        return f"bits per {data.vocabulary.unit}", 1 / math.log(2)


def _packaged_text(name: str) -> TextCorpus:
    """Return the text that comes with the package under the name of its function, "king_james"."""
    from deeprnn_keras import data

    return getattr(data, name)()


def _score_and_sample(
    run: LanguageRun, model: LanguageModel, corpus: TextCorpus, split: TextSplit, seed: int, console: Console
) -> None:
    from deeprnn_keras.training.files import save_text

    with console.status("scoring the validation text") as status:
        run.score = model.score(
            split.validation,
            on_batch=lambda done, of: status.update(f"scoring the validation text: {done} of {of} batches"),
        )
        status.update("writing a sample")
        run.prompt = corpus.prefix(split.validation[0], SAMPLE_PROMPT)
        run.sample = model.generate(run.prompt, SAMPLE_LENGTH, temperature=SAMPLE_TEMPERATURE, seed=seed)
    save_text(run.sample + "\n", run.directory / "sample.txt")


def _values(config: Configuration, model: LanguageModel, split: TextSplit, validation: Batches) -> dict[str, float]:
    if config.recipe.train_windows is not None:  # such recipes validate on windows that start from a zero state
        model.compile(loss=model.loss_function())
        return {"perplexity": math.exp(model.evaluate(validation, verbose=0))}
    score = model.score(split.validation)
    if config.symbols == "words":
        return {"perplexity": score.perplexity}
    return {f"bits per {config.symbols[:-1]}": score.bits_per_character}
