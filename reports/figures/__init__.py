"""Figures of a report, one module each; `report` imports all of them.

To add one, write a module with a function from a table (or a sweep over a knob) and a `Drawing` to
a figure, decorated with `table_figure("__name")`; nothing else is edited. `drawing` has what every
figure is given, `looks` the appearance of rows, `style` and `texts` what figures share. Open
`groups.py` first.
"""
