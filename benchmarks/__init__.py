"""Floors and peers, measured in one run: `python -m benchmarks` prints the table of budgets and fails below one."""
