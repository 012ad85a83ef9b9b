"""Published values of a table's variants, compared with ours.

Open `matching.py` first (which value is compared with which row); `tables.py` writes them. The
values themselves are in `results/published.yaml`.
"""
