"""Figures of a report, one module each; `report` imports all of them.

To add one, write a module with a function from a table (or a sweep over a knob) to a figure,
decorated with `table_output("__name")`; nothing else is edited. What figures share is in
`style.py`. Open `group_bars.py` first.
"""
