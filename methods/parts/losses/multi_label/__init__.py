"""Multi-label losses on sigmoids: one value per sample, the sum over its classes.

z are logits (B, C), p = sigmoid(z), y labels (B, C), n_c training images with class c, N all. The
sum is the negative log-likelihood of a sample and has the size of softmax losses, so that learning
rates carry over. The codes of DB and LMPT take the mean over the classes instead: divide by C to
use their learning rates. Sigmoids saturate on scaled cosines: see
`heads.linear_classifiers.SigmoidBias`.

A file defines `make(task, *, …) -> LossFunction`; see `methods/parts/losses/__init__.py`.
"""
