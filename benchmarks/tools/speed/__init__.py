"""Speed measurements of the suite on this machine: `python -m benchmarks.speed`.

They are part of the package, not of the tests, because users run them on their own GPU before they
trust a cost in a table, and because a measurement builds methods, towers and runs from the same
parts as a sweep: renaming a part breaks it at once under mypy and its test, not months later. Each
module measures one part and compares it with a bound from the same run; open `__main__.py` first.
"""
