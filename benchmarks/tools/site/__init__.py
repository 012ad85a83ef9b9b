"""The documentation as a site: `make docs` builds it with MkDocs from docs/ and from the registry.

`hooks.py` is called by MkDocs. `cards.py` writes the pages of methods and data sets, `interface.py`
those of the Python interface, `links.py` leads links that work in the repository to places of the
site. `tables.py` keeps the tables of the README.
"""
