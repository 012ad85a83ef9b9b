"""The command line: every file of this folder is a verb, its arguments beside its action.

A new file is a new verb; nothing else is edited. `run_benchmarks.py` finds, parses and calls them.
Nothing imports this package but that script and tests. Open `run.py` first; what the verbs are
built from is in `parts/`.
"""
