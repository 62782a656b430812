"""Run tutorials at full scale and store their pictures: python tutorials/pictures.py 06 07.

The picture `06_vowels.png` at the top of a tutorial is the file `vowels.png` that the tutorial saves, with 64 colors.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

TUTORIALS = Path(__file__).resolve().parent
WIDTH = 1100  # pixels, at most


def draw(path: Path) -> None:
    """Run a tutorial, store its picture beside it, and print the durations and what the tutorial printed."""
    names = re.findall(rf"\]\({path.stem[:2]}_(\w+\.png)\)", path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as directory:
        start, before = time.perf_counter(), os.times()
        environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(TUTORIALS.parent)}
        subprocess.run([sys.executable, str(path)], cwd=directory, env=environment, check=True)
        seconds, after = time.perf_counter() - start, os.times()
        processor = after.children_user + after.children_system - before.children_user - before.children_system
        print(f"{path.name}: {seconds:.0f} s, {processor:.0f} s of processor time", flush=True)
        for name in names:
            store(Path(directory) / name, TUTORIALS / f"{path.stem[:2]}_{name}")


def store(source: Path, target: Path) -> None:
    """Write an image with a palette and at most `WIDTH` pixels."""
    image = Image.open(source).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.quantize(64, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    for number in sys.argv[1:]:
        (script,) = TUTORIALS.glob(f"{number}_*.py")
        draw(script)
