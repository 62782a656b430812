"""Benchmarks behind the README's figures; run each with `python -m benchmarks.NAME` from the project directory."""
