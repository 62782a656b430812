"""Exit codes of the commands."""

FAILED = 1
INTERRUPTED = 130  # 128 + 2, the number of SIGINT: the convention of shells for a program that Ctrl-C stopped
