"""The README's result: trains kjv_lstm_2x256 by its recipe and writes picture, figures and the README's paragraph.

python -m benchmarks.king_james                      # trains, some twenty minutes on two cores
python -m benchmarks.king_james runs/kjv_lstm_2x256  # takes a training that is there
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "kjv_lstm_2x256"
README = ROOT / "README.md"


def paragraph(result, sample):
    """The README's words for a `result.json` and the sample beside it."""
    validation, compressors = result["validation"], result["compressors_bits_per_character"]
    bits = ", ".join(f"{name.split()[0]} {value:.3f}" for name, value in compressors.items())
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items() if name != "deeprnn-keras")
    return (
        f"`kjv_lstm_2x256`, {result['weights']:,} weights, {result['updates']:,} updates: "
        f"**{validation['bits_per_character']:.3f} bits per character** "
        f"(perplexity {validation['perplexity']:.2f}) on {validation['characters']:,} held-out characters. "
        f"For the same text alone, general compressors need {bits} bits per character. "
        f"The whole run took {result['seconds'] / 60:.0f} minutes on {result['device']} "
        f"({versions}, Python {result['python']}, seed {result['seed']}). It then wrote:\n\n"
        + "".join(f"> {line}\n" for line in sample.strip()[:300].splitlines())
    )


def with_paragraph(readme, text):
    """The README with its result replaced."""
    pattern = r"(<!-- result -->\n).*?(<!-- end of result -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{text}{found[2]}", readme, flags=re.DOTALL)


def main(directory=None):
    """Writes the results of a training, of a new one if no directory is given."""
    if directory is None:
        directory = ROOT / "runs" / "benchmark_kjv_lstm_2x256"
        command = [sys.executable, "-m", "deeprnn_keras.cli", "train", "kjv_lstm_2x256", "--output", str(directory)]
        subprocess.run(command, check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in ("result.json", "sample.txt", "history.csv", "curve.png"):
        shutil.copy(Path(directory) / name, RESULTS / name)
    README.write_text(with_paragraph(README.read_text(encoding="utf-8"), current()), encoding="utf-8")


def current():
    """The paragraph for the results that are there."""
    result = json.loads((RESULTS / "result.json").read_text(encoding="utf-8"))
    return paragraph(result, (RESULTS / "sample.txt").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
