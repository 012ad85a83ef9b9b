"""Runs cells: loads data sets and backbones, fits and evaluates methods, and makes records.

`runner.py` is the place to start: it runs a list of cells; `bench.py` fits and evaluates those of
one data set and backbone; `recorder.py` makes their records. May import everything up to `reports`;
only conformance, cli and tools import it.
"""
