"""Benchmarks behind the figures of the README. Run each with `python -m benchmarks.NAME` in the project directory."""
