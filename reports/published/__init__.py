"""Published values beside a table's own.

Open `matching.py` first (which value may stand beside which row); `tables.py` writes them. The
values themselves are in `results/published.yaml`.
"""
