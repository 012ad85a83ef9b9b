"""Records of cells and published results: their form and where they are stored.

Everything above the backbones may import it, but no method does. Open `schema.py` first (a record),
then `store.py` (one JSON file for each cell, and its predictions). `json_form.py` checks values,
`record_file.py` and `predictions.py` read and check the two files, `identity.py` makes and checks
their names. `correctness.py` keeps what comparisons need of many predictions. `published.py` reads
`published.yaml`. `reference/` holds committed results, `runs/` is written to and ignored by git.
"""
