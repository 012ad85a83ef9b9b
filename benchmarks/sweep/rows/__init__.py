"""Rows of a table: which records belong to one row, its label, and what may share a table.

The plan and the reports import it. Open `variants.py` first (rows and their labels), then
`labels.py` (the row that a label names) and `comparability.py` (what must be equal in a table).
"""
