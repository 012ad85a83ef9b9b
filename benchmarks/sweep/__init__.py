"""From a sweep's file and flags to cells; nothing here imports torch or loads data.

`settings.py` reads the request, `plan.py` expands it into cells (`cell.py`) and finds their
records; `estimate.py` predicts their time; `rows/` names and compares the rows of tables. May
import methods and results; reports, run, conformance, cli and tools import it.
"""
