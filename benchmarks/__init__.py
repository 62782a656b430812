"""What the README's figures come from; each module runs with `python -m benchmarks.NAME` from the project's folder."""
