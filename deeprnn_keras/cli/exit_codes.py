"""Exit codes of the commands."""

FAILED = 1
INTERRUPTED = 130
