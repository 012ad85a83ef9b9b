"""Data sets: what they are, how a long tail is drawn from them, and how their images are checked.

`families/` has one file per family of public or drawn data sets, `own/` reads a user's own data,
and `files/` holds the readers that families share. Everything from `backbones` up may import this.
Start with `base.py` (`Family` and `DataSet`), then `registry.py`, which finds a data set by name.
"""
