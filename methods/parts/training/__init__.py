"""Training: the loop, its specification, and several trainings in turns.

Imported by methods and by the other parts. Start with `loop.py`; `learning.py` is the way for a
method to have its seeds and grid points trained together.
"""
