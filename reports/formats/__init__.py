"""File formats of a report, one module each; `report` imports all of them.

To add one, write a module with a function from a table (or a sweep over a knob) to text, decorated
with `table_output(".ending")`; nothing else is edited. Open `markdown.py` first.
"""
