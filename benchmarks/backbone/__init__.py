"""Names, weights, transforms and open_clip models, behind the face `benchmarks/backbones.py`.

Open backbones.py first: it is what methods, inputs and the run import. Only `names`, `identify` and
`open_clip_tables` are imported directly, by modules such as `plan` that must not load torch. These
modules use base, the embedded world and nothing above.
"""
