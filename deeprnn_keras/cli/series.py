"""`deeprnn train` for models of sequences with an answer each."""

import inspect

TEXT_OPTIONS = ("bptt", "stateful")


def refuse_text_options(config, quick, overrides):
    """Raises ValueError for options that mean something for text only."""
    given = {"quick": quick or None, **{name: overrides.get(name) for name in TEXT_OPTIONS}}
    wrong = [f"--{name}" for name, value in given.items() if value is not None]
    if wrong:
        raise ValueError(f"{config.name} answers series, not text; leave out {', '.join(wrong)}")


def series_of(config, path):
    """The `SeriesSplit` that belongs to a configuration.

    Args:
        config: a `SequenceModelConfig`.
        path: a file of the user's, or None: for data that comes with a package.

    Raises:
        ValueError: if the model comes without its data, or the file is missing or not needed.
    """
    import deeprnn_keras

    if config.corpus is None:
        raise ValueError(
            f"{config.name} comes without its data ({config.data}); use zoo.create_model({config.name!r}) with "
            "model.dataset(series, answers) and model.fit"
        )
    load = getattr(deeprnn_keras, config.corpus)
    file = inspect.signature(load).parameters.get("path")
    if file is None and path is not None:
        raise ValueError(f"{config.name} comes with its data ({config.data}); leave out --data")
    if file is not None and file.default is file.empty and path is None:
        raise ValueError(f"{config.name} comes without its data ({config.data}); give it with --data FILE")
    return load() if path is None else load(path)


def train_on_series(config, split, output, *, seed, resume, settings, console):
    """Trains and reports; -> the exit code."""
    from rich.markup import escape

    from deeprnn_keras.cli.quiet import load_tensorflow
    from deeprnn_keras.cli.report import FAILED, INTERRUPTED, print_head, print_score

    load_tensorflow(console)
    import keras

    from deeprnn_keras.training.series_run import train_series

    keras.utils.set_random_seed(seed)
    model = config.build()
    read = f"{len(split.train):,} series to learn from, {len(split.test):,} to be tested on"
    print_head(config, model, read, output if resume else None, console)
    how = {"seed": seed, "console": console, "resume": resume, "settings": settings}
    run = train_series(model, split, config.recipe, output, **how)
    if run.ending == "interrupted":
        go_on = f"deeprnn train {config.name} --resume --output {escape(str(output))}"
        console.print(f"[yellow]Interrupted.[/] Go on with: {go_on}", soft_wrap=True)
        return INTERRUPTED
    if run.ending == "not finite":
        console.print(f"[red]Stopped:[/] {run.advice}")
        return FAILED
    print_score(run.score, console)
    for what, file in (("model", "model.keras"), ("epochs", "history.csv"), ("all figures", "result.json")):
        console.print(f"[bold]{what:>14}[/]  {escape(str(run.folder / file))}", soft_wrap=True)
    return 0
