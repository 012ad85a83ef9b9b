"""Methods over several data sets: one table, ranks, tests, interquartile means and their files.

`report` writes what is here when its tables have two data sets or more. Open `variants.py` first
(which rows are one method), then `overview.py` (the table of methods by data sets), `matrix.py`
(one metric of it), `ranks.py`, `runs.py` and `bayes.py` (the statistics), and `study.py` (all of
them for one matrix). `files.py` writes text and CSV, `terminal.py` prints, `order.py` sorts all
tables by rank. `reports/figures/diagram.py` draws critical differences.
"""
