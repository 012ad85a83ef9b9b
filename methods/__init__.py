"""Methods, one file each: `methods/NAME.py`; adding one edits nothing else.

Imported by the command line, the runner and the conformance checks; imports neither `results` nor
`reports`. Start with `base.py`, the contract of a method; `docs/adding_a_method.md` explains it.
"""
