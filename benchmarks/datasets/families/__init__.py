"""Data set families, one file each; the only folder that the registry scans for data sets.

To add a data set, add a file here; nothing else has to be edited. The file holds a frozen dataclass
with a one-line docstring, decorated with `@register(NAME, task="single")` or `task="multi"`. It
derives from `Family` or from one of its subclasses in `files/`: `Listed` (public split lists),
`DrawnTail` (a long tail drawn from balanced data) or `GlyphWorld` (drawn images). Its fields are
the parameters that users can set. Class texts belong in `benchmarks/text/NAME.yaml`.
Only the registry imports these modules. Start with `places_lt.py`, the shortest.
"""
