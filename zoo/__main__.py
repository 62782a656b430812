"""Command `python -m deeprnn_keras.zoo`: regenerate the page of the zoo, `zoo/README.md`."""

from __future__ import annotations

from deeprnn_keras.zoo.table import README, write_page

if __name__ == "__main__":
    write_page()
    print(f"Saved to {README}")
