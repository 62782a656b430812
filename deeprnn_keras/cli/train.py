"""`deeprnn train`."""

import sys
from pathlib import Path

import click

from deeprnn_keras.cli.resumed import resumed
from deeprnn_keras.cli.series import refuse_text_options, series_of, train_on_series


def _numbers(ctx, param, value):
    """256 -> 256; 512,256 -> (512, 256)."""
    if value is None:
        return None
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"must be a number or numbers joined by commas, got {value!r}") from None
    return numbers[0] if len(numbers) == 1 else numbers


def _names(ctx, param, value):
    """lstm -> 'lstm'; rnn,lstm -> ('rnn', 'lstm')."""
    return tuple(value.split(",")) if value and "," in value else value


@click.command()
@click.argument("name")
@click.option(
    "--text",
    "--data",
    "data",
    type=click.Path(path_type=Path),
    help="A UTF-8 text file to learn; the last tenth of each of ten equal stretches is held out. For other models than "
    "those of text the file that their card names.",
)
@click.option("--quick", is_flag=True, help="A first impression in about two minutes on two cores.")
@click.option("--epochs", type=int, help="Passes over the training text.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder for model, curve and figures; it must not "
    "exist yet. Default: runs/NAME, with a number if that exists.",
)
@click.option("--layers", "num_layers", type=int, help="L, the number of hidden layers.")
@click.option("--units", callback=_numbers, help="h, the hidden units of each layer; or one number per layer: 512,256.")
@click.option("--cell", callback=_names, help="rnn, gru, lstm, rhn, mlp_gate_lstm, ...; or one per layer: gru,lstm.")
@click.option("--dropout", type=float, help="Rate between the layers.")
@click.option("--learning-rate", type=float, help="The base learning rate.")
@click.option("--clipnorm", "global_clipnorm", type=float, help="Scale gradients down to this norm.")
@click.option("--batch-size", type=int, help="n, windows per update.")
@click.option("--bptt", type=int, help="T, time steps per window.")
@click.option("--stateful/--windows", "stateful", default=None, help="Carry the state from batch to batch, or not.")
@click.option("--seed", type=int, help="Of weights, order, dropout and sample.  [default: 0]")
@click.option(
    "--resume", is_flag=True, help="Go on with a training that was broken off: the one in --output, or the last."
)
@click.option(
    "--publish",
    type=click.Path(path_type=Path),
    help="Also keep the weights in this folder as the zoo does: NAME.safetensors, and NAME.json with how they came "
    "about.",
)
def train(name, data, quick, output, seed, resume, publish, **overrides):
    """Trains the model NAME of the zoo: on text, and reports bits per character, or on the series that belong to it.

    Ctrl-C ends the training and keeps what it has learnt. A training that was ended so, or killed at any moment, goes
    on with --resume, which needs no other option, and ends with the same model as one that never was.
    """
    from rich.console import Console
    from rich.markup import escape

    from deeprnn_keras import checks, zoo

    console = Console()
    overrides = {key: value for key, value in overrides.items() if value is not None}
    if publish and (quick or overrides):
        raise ValueError(f"--publish keeps {name} as the zoo has it; leave out --quick and changes of the model")
    if resume:
        output, data, quick, seed, overrides = resumed(name, output, data, quick, seed, overrides)
    seed = seed or 0
    settings = {"model": name, "data": data and str(data.absolute()), "quick": quick, "seed": seed, **overrides}
    if isinstance(overrides.get("units"), tuple):
        overrides.setdefault("num_layers", len(overrides["units"]))
    if quick and "epochs" in overrides:
        raise ValueError("--quick sets the number of epochs itself; leave out --epochs, or --quick")
    if "epochs" in overrides:
        overrides["min_steps"] = 1
    config = zoo.info(name)
    language = config.task == "language"
    if not language:
        refuse_text_options(config, quick, overrides)
    zoo.count_params(name, **overrides)  # wrong overrides are refused before anything slow
    if not resume:
        output = checks.new_folder("--output", output) if output else fresh_folder(Path("runs") / name)
    how = {"seed": seed, "resume": resume, "settings": settings, "console": console}
    if language:
        corpus = corpus_of(config, data)
        config = zoo.info(name, **overrides, vocabulary=corpus.vocabulary.symbols)
        code = _on_text(config, corpus, output, quick=quick, **how)
    else:
        code = train_on_series(config.changed(**overrides), series_of(config, data), output, **how)
    if publish and code == 0:
        from deeprnn_keras.zoo.publish import publish as write_weights

        made = write_weights(output, publish)
        console.print(f"[bold]weights[/]: {escape(str(publish / name))}.safetensors, SHA-256 {made.sha256[:12]}...")
    sys.exit(code)


def _on_text(config, corpus, output, *, quick, seed, resume, settings, console):
    """Trains a language model and reports; -> the exit code."""
    from deeprnn_keras.cli.quiet import load_tensorflow

    load_tensorflow(console)
    import keras

    from deeprnn_keras.cli.report import print_head, report
    from deeprnn_keras.training.text_run import train_text

    keras.utils.set_random_seed(seed)
    model = config.build()
    print_head(config, model, f"{corpus.name}, {corpus.size()}", output if resume else None, console)
    title = f"{config.name}: {config.architecture()}, {model.count_params():,} weights, on {corpus.name}"
    how = {"quick": quick, "seed": seed, "resume": resume, "settings": settings}
    run = train_text(model, corpus, config.recipe, output, title=title, console=console, **how)
    return report(run, model, console)


def fresh_folder(path):
    number, folder = 1, path
    while folder.exists():
        number += 1
        folder = path.with_name(f"{path.name}-{number}")
    return folder


def corpus_of(config, path):
    """The `TextCorpus` that a configuration of a language model reads, from a file or as it comes with the package.

    A model of words is given the most frequent ones of the text, "<eos>" at the ends of lines, "<unk>" for the rest.
    """
    from deeprnn_keras import ByteVocabulary, TextCorpus, Vocabulary, WordVocabulary, king_james
    from deeprnn_keras.data import letters_only

    if config.task != "language":
        raise ValueError(
            f"{config.name} answers series, not text; in a script HyperDeepRNN(zoo.info({config.name!r})) tunes it"
        )
    if path is not None:
        corpus = TextCorpus.from_file(path)
    elif config.corpus == "king_james":
        corpus = king_james()
    else:
        raise ValueError(f"{config.name} comes without its text ({config.data}); give one with --text FILE")
    if config.symbols == "words":
        words = WordVocabulary.of(corpus.text, config.vocabulary_size, end_of_line=True)
        return TextCorpus(corpus.text, corpus.name, words)
    if config.symbols == "bytes":
        return TextCorpus(corpus.text, corpus.name, ByteVocabulary())
    if config.letters:
        return TextCorpus(letters_only(corpus.text), corpus.name, Vocabulary(config.vocabulary))
    return corpus
