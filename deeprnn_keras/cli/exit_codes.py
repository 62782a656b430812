"""Exit codes of the commands."""

FAILED, INTERRUPTED = 1, 130
