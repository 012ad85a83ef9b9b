"""Names, weights, transforms and models of open_clip and timm, behind `benchmarks/backbones.py`.

Open backbones.py first: it is what methods, inputs and the run import. Only `names`, `identify`,
`open_clip_tables` and `timm_names` are imported directly, by modules such as `plan` that must not
load torch. These modules use base, the embedded world and nothing above.
"""
