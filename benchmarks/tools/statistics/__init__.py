"""Simulations of the statistics that `compare` and `report` print, in worlds whose truth is known.

`python -m benchmarks.tools.statistics` prints the tables of docs/statistics.md. Open `worlds.py`
first (what is drawn), then `coverage.py` (how often intervals hold the truth).
"""
