"""Registries of methods and data sets, and the typed, checked fields of both.

Open catalog.py first. fields.py, ranges.py and values.py hold what a field declares and how a value
is checked against it; static_reader.py reads all that from source, so that `plan` and `list` need
no torch; sources.py hashes source code. Plug-ins from outside the suite (origins.py) are imported
by a child process (probe.py), which sends their description (description.py); neighbours.py finds
the modules beside them. These modules use base only; everything above may import them.
"""
