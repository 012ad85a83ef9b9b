"""Methods over several data sets: ranks, tests, interquartile means and their files.

`report` writes what is here when its tables have two data sets or more. Open `matrix.py` first
(which rows and data sets form a matrix), then `ranks.py`, `runs.py` and `bayes.py` (the
statistics), and `study.py` (all of them for one matrix). `files.py` writes text and CSV,
`diagram.py` draws critical differences, `terminal.py` prints.
"""
