"""Single-label losses, one value per sample; the file's name is the loss's name.

z are logits (B, C), n_c training counts, pi_c = n_c / N. Formulas and defaults are those of LIFT's
code (github.com/shijxcs/LIFT, utils/losses.py), which runs them on a cosine head of scale 25,
unless a docstring names another source. A class without training images counts as half an image in
log pi (`Task.log_prior`) and is left out where margins are scaled to their maximum.

Two kinds of loss are not sums over samples: a weighted mean is divided by the weights in the batch
(but for `cb` with `cb_reduction=batch`),
and the bound of LADE is estimated on the batch. Their values are distributed over the samples so
that the mean over the batch is the published value. They are `coupled`: where a batch is
accumulated from micro-batches, they still see all of it.

A file defines `make(task, *, …) -> LossFunction`; see `methods/parts/losses/__init__.py`.
"""
