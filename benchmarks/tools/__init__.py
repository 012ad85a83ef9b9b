"""Programs for the suite's developers: each runs by `python -m benchmarks.tools.NAME`.

`speed/` measures the suite (`python -m benchmarks.speed`), `pretrain_glyph.py` trains the embedded
backbone, `carry_over.py` updates records, `keep_bits.py` keeps what their intervals need,
`documented.py` prints the tables of the documentation from them, `statistics/` simulates intervals
and verdicts, `parity/` runs authors' code beside ours (`checkouts.py` reads it). They may import
everything; nothing imports them.
"""
