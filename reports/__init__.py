"""Tables, figures and comparisons, made from records alone; no models, no images.

The run and the command line may import it; it imports the sweep's row labels and the floors below.
Open `table.py` first (the model), then `view.py` (what a user chooses of it), `grid.py` (heads and
cells, which every format prints) and `report.py`, which writes everything that is registered in
`formats/` and `figures/`. `compare/` holds paired intervals, `across/` what is over several data
sets, `published/` the published values.
"""
