"""A user's own data, described by a YAML file instead of code: `--datasets my.yaml`.

Open family.py first: it turns a description (spec.py) into a data set. The images are listed by a
tree of folders (tree.py) or by a table (table.py), both as `Entry` (entries.py); splits.py gives
them class indices and splits; card.py holds the facts for `show`. Much of this is checks: users'
files are wrong in many ways, and each ends in one line that says what to change. These modules use
base, plugins and datasets; only `datasets.registry` imports them.
"""
