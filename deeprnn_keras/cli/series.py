"""`deeprnn train` for models of sequences with an answer each."""

TEXT_OPTIONS = ("bptt", "stateful")


def refuse_text_options(config, text, quick, overrides):
    """Raises ValueError for options that mean something for text only, and for models without data."""
    given = {"text": text, "quick": quick or None, **{name: overrides.get(name) for name in TEXT_OPTIONS}}
    wrong = [f"--{name}" for name, value in given.items() if value is not None]
    if wrong:
        raise ValueError(f"{config.name} answers series, not text; leave out {', '.join(wrong)}")
    if config.corpus is None:
        raise ValueError(
            f"{config.name} comes without its data ({config.data}); use zoo.create_model({config.name!r}) with "
            "model.dataset(series, answers) and model.fit"
        )


def train_on_series(config, output, seed, resume, settings, console):
    """Trains and reports; -> the exit code."""
    from rich.markup import escape

    import deeprnn_keras
    from deeprnn_keras.cli.quiet import load_tensorflow
    from deeprnn_keras.cli.report import FAILED, INTERRUPTED

    split = getattr(deeprnn_keras, config.corpus)()
    load_tensorflow(console)
    import keras

    from deeprnn_keras.training.series_run import train_series

    keras.utils.set_random_seed(seed)
    model = config.build()
    console.print(
        f"[bold]{config.name}[/]: {config.architecture()}, {model.count_params():,} weights; "
        f"{len(split.train):,} series to learn from, {len(split.test):,} to be tested on"
    )
    how = {"seed": seed, "console": console, "resume": resume, "settings": settings}
    run = train_series(model, split, config.recipe, output, **how)
    if run.ending == "interrupted":
        console.print(f"[yellow]Interrupted.[/] Go on with: deeprnn train {config.name} --resume --output {output}")
        return INTERRUPTED
    if run.ending == "not finite":
        console.print(f"[red]Stopped:[/] {run.advice}")
        return FAILED
    for what, value in run.score.items():
        shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
        console.print(f"[bold]{what.replace('_', ' '):>14}[/]  {shown}")
    for what, file in (("model", "model.keras"), ("epochs", "history.csv"), ("all figures", "result.json")):
        console.print(f"[bold]{what:>14}[/]  {escape(str(run.folder / file))}", soft_wrap=True)
    return 0
