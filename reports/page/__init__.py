"""The page of a report: one HTML file with all tables, comparisons, classes, figures and records.

The file needs no network and works from a disk. Python gathers the data (open `document.py` first)
and writes them as JSON into the page; `assets/` has its HTML, CSS and JavaScript. Plain JavaScript
draws everything, there is no build step: the scripts are put one behind the other.
"""
