"""What a training or an evaluation says at its end."""

import math

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

INTERRUPTED, FAILED = 130, 1  # exit codes


def print_head(config, model, read, folder, console):
    """What is trained and on what, and where a training goes on."""
    console.print(f"[bold]{config.name}[/]: {config.architecture()}, {model.count_params():,} weights; {escape(read)}")
    if folder is not None:
        console.print(f"going on with the training in {escape(str(folder))}", soft_wrap=True)


def report(run, model, console):
    """Prints the end of a `TextRun`; returns the exit code."""
    if run.ending == "interrupted":
        path = escape(str(run.model_path))
        console.print(f"[yellow]Interrupted.[/] The model as it was is in {path}", soft_wrap=True)
        console.print(
            f"Go on with: deeprnn train {model.name} --resume --output {escape(str(run.folder))}", soft_wrap=True
        )
        return INTERRUPTED
    if run.ending == "not finite":
        console.print(f"[red]Stopped:[/] {run.advice}")
        console.print(f"The last good model is in {escape(str(run.model_path))}", soft_wrap=True)
        return FAILED
    name = f"{model.name}, {model.count_params():,} weights"
    console.print(score_table(run.score, run.references, name, unit=model.known().unit))
    from deeprnn_keras.training.text_run import SAMPLE_TEMPERATURE

    sample = Text(run.sample)
    sample.stylize("bold", 0, len(run.prompt))
    title = f"a sample, temperature {SAMPLE_TEMPERATURE}; the prompt, from the validation text, is bold"
    console.print(Panel(sample, title=title, title_align="left", border_style="dim"))
    for what, file in (("model", "model.keras"), ("learning curve", "curve.png"), ("all figures", "result.json")):
        console.print(f"[bold]{what:>14}[/]  {escape(str(run.folder / file))}", soft_wrap=True)
    return 0


def score_table(score, references, name, text="validation text", unit="character"):
    """A table of bits per character, word or byte on `text`: compressors and the model, the best last."""
    table = Table(title=f"{escape(text)}, {score.count:,} {unit}s", title_style="bold", title_justify="left")
    table.add_column("")
    for heading in (f"bits per {unit}", "perplexity", f"nats per {unit}"):
        table.add_column(heading, justify="right")
    model = (name, score.bits_per_character)
    for label, bits in sorted([*references, model], key=lambda row: -row[1]):
        perplexity = 2**bits if bits < 1000 else math.inf
        row = (f"{bits:.4f}", f"{perplexity:.3f}", f"{bits * math.log(2):.4f}")
        table.add_row(escape(label), *row, style="bold green" if (label, bits) == model else None)
    if references:
        table.caption = "Compressors see this text alone; the model has learnt from the training text."
    table.caption_justify = "left"
    return table


def print_score(score, console):
    """{measure: value}, a line each."""
    for what, value in score.items():
        shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
        console.print(f"[bold]{what.replace('_', ' '):>14}[/]  {shown}")
