"""Our methods beside their authors' code, on the same random weights and inputs.

`python -m benchmarks.tools.parity NAME --theirs DIR` prints the differences; docs/parity.md has the
table. A comparison is one file in `comparisons/`, found by its name: a function that yields
`Pair`s, declared with `@against`. Open `contract.py` first, then `comparisons/tau_norm.py`.
"""
