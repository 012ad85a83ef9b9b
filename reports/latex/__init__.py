"""Tables as LaTeX that compile unedited and fit into a column or a page of a paper.

Open `sheet.py` first (a table with its caption and notes, and nothing of LaTeX), then `floats.py`
(how a sheet is set). `results.py`, `published.py`, `comparisons.py` and `data_sets.py` make sheets;
`files.py` says which of them are in which file of a report. `layout.py` decides what goes beside
what, from the widths that `measure.py` estimates; `width.py` reads the width that a user asks for.
"""
