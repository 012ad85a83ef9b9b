"""Paired comparisons of two rows of a table, with intervals of their differences.

The command `compare` and all reports import it. Open `comparison.py` first (which runs are paired),
then `parts.py` (what each image contributes to a metric), `intervals.py` (the statistics),
`families.py` (verdicts that hold together), `best.py` (which rows may be the best) and `cells.py`
(what `terminal.py` and `files.py` print).
"""
