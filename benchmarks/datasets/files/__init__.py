"""Readers of files, and the base classes that several data set families share.

`listed.py`, `drawn.py` and `glyph_world.py` are the base classes; the other modules read, find,
fetch and resize files. The families, `own/` and higher floors may import this. Start with
`listed.py`.
"""
