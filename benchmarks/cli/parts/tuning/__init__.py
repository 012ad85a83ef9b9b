"""The work of `tune`: trials on images held out from training, their scores, and the recipe.

Open `search.py` first (a search from its flags to its recipe), then `scores.py` (what a trial is
worth and how sure that is).
"""
