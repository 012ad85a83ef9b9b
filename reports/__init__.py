"""Tables, figures and comparisons, made from records alone; no models, no images.

The run and the command line may import it; it imports the sweep's row labels and the floors below.
Open `table.py` first (the model), then `report.py`, which writes everything that is registered in
`formats/` and `figures/`. `compare/` holds paired intervals, `across/` the statistics over several
data sets, `published/` the published values.
"""
