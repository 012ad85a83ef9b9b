"""One file for each comparison; the file's name is the comparison's name.

A file defines `compare`: a generator of `Pair`s from a `Checkout`, declared with `@against`. The
first line of its docstring says what is compared.
"""
