"""GLA: generalized logit adjustment (Zhu et al. 2023, arXiv 2310.08106), and WiSE-FT.

    logits = z_zero_shot / T - log q + z_fine_tuned / T' - log pi

Zero-shot logits carry the label distribution q of the backbone's pre-training, fine-tuned ones that
of the training images, pi. GLA takes both away and adds what is left. q is estimated on training
images that count equally by class, by minimising the cross-entropy of the corrected zero-shot
logits, after a temperature T has made these as confident as they are accurate; T' does so for the
fine-tuned model, on validation images (github.com/BeierZhu/GLA, efbcd60, GLA.FS.public). T' is 1
without validation images, since confidence on training images says nothing. The authors' solver
takes 1,000 small steps from a uniform q; ours goes to the minimum. Their long-tailed experiments
are not in the code: equal weights for the classes are ours.

`mode=weights` is WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903): weights on the straight line
from those before fine-tuning to those after it, tower and head alike. It is meant for bases that
start at the zero-shot classifier: lift, lift_plus, full_finetune, or linear_probe with `init=text`.
Nothing is subtracted there.

The fine-tuned model is any method of the suite or a plug-in, `base_method`. As in the paper it is
trained by plain cross-entropy, unless `base_fields` says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.augment import Augmentation
from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable, UserError
from benchmarks.plugins.ranges import Count, Share
from methods.base import Batch, Method, Predictor, Samples, Task
from methods.parts.bases import built
from methods.parts.heads.priors import ROWS, prior_from_images
from methods.parts.heads.temperature import Part, balanced_weights, calibrated
from methods.parts.merging import copied, interpolated
from methods.registry import register

_KEEP = {"la", "balanced_softmax", "lade", "ldam_drw", "cb", "grw"}
"""Losses that take the training frequencies into account, so that logits do not hold them."""


@register(
    "gla",
    paper="Zhu et al. 2023, arXiv 2310.08106",
    needs="images",
    reconstruction="the authors' long-tailed code is not public: equal weights by class are ours",
)
@dataclass(frozen=True)
class Gla(Method):
    """Zero-shot and fine-tuned logits without their label priors; or merged weights (WiSE-FT)."""

    base_method: str = "linear_probe"
    """The fine-tuned part: linear_probe, lift, full_finetune, coop or any other method."""
    base_fields: str = "loss=ce"
    """Fields of the base that differ from its defaults, for example loss=ce,init=text,lr=0.01."""
    mode: Literal["logits", "weights"] = "logits"
    """logits: GLA. weights: WiSE-FT, which interpolates with the state before fine-tuning."""
    alpha: Annotated[float, Share] = 0.5
    """Position between the weights before (0) and after fine-tuning (1), for mode=weights."""
    train_prior: Literal["auto", "subtract", "keep"] = "auto"
    """log pi of the training frequencies in the base's logits, for mode=logits. auto subtracts it
    for a base with loss=ce, and keeps the logits of a loss that takes the frequencies into account
    (la, balanced_softmax, …); for other bases, say which."""
    epochs: Annotated[int | None, Count] = None
    """None takes the base's own."""
    batch_size: Annotated[int | None, Count] = None
    """None takes the base's own."""
    augment: Literal["base", Augmentation] = "base"
    """base takes the base's own."""

    def fit(self, task: Task) -> Predictor:
        base = built(self)
        if task.kind not in base.info.tasks:
            raise NotApplicable(f"{base.info.name} serves {', '.join(base.info.tasks)}-label data")
        subtract = self.mode == "logits" and self._subtracts(base)
        starts: dict[int, dict[str, Tensor]] = {}

        def keep(stage: int, state: Mapping[str, Tensor]) -> None:
            starts.clear()  # the last training counts
            starts[stage] = copied(state)

        note = keep if self.mode == "weights" else task.started
        tuned = base.fit(dataclasses.replace(task, started=note))
        tuned = dataclasses.replace(tuned, needs=tuned.needs or base.info.needs)
        if self.mode == "weights":
            return _merged(tuned, next(iter(starts.values()), {}), self.alpha, base.info.name)
        shift = task.log_prior if subtract else torch.zeros_like(task.log_prior)
        joint = _joint(task, tuned, shift)
        return dataclasses.replace(tuned, logits=joint.eval())

    def _subtracts(self, base: Any) -> bool:
        if self.train_prior != "auto":
            return self.train_prior == "subtract"
        loss = getattr(base, "loss", None)
        if loss in ("ce", *_KEEP):
            return bool(loss == "ce")
        raise UserError(
            f"gla.train_prior: choose subtract or keep. Whether the logits of {self.base_method} "
            f"({self.base_fields or 'its defaults'}) hold the training frequencies is not known."
        )


class Joint(nn.Module):
    """z_zero_shot / T - log q + z_fine_tuned / T' - log pi.

    Args:
        tuned: the fine-tuned model, batch -> (B, C).
        backbone: for the features of batches without them.
        weight: (C, D) zero-shot classifier, divided by its temperature.
        shift: (C,) log q + log pi.
        temperature: T'.
    """

    weight: Tensor
    shift: Tensor
    temperature: Tensor

    def __init__(
        self, tuned: Any, backbone: Backbone, weight: Tensor, shift: Tensor, temperature: Tensor
    ) -> None:
        super().__init__()
        self.tuned = tuned
        self._backbone = [backbone]  # in a list: the backbone is not part of the state
        self.register_buffer("weight", weight)
        self.register_buffer("shift", shift)
        self.register_buffer("temperature", temperature)

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        tuned = self.tuned(batch).float()
        found = batch.features
        if found is None:
            assert batch.images is not None
            found = self._backbone[0].encode_images(batch.images)
        with torch.autocast(found.device.type, enabled=False):
            logits: Tensor = found @ self.weight.T + tuned / self.temperature - self.shift
        return logits


@torch.no_grad()
def _joint(task: Task, tuned: Predictor, log_train: Tensor) -> Joint:
    """GLA's classifier.

    Args:
        task: the task.
        tuned: the fine-tuned part, with `needs`.
        log_train: (C,) log pi, or zeros.
    """
    features, labels = task.train.features(), task.train.labels
    weight = task.backbone.logit_scale * task.text_features()  # (C, D)
    share = balanced_weights(labels, task.num_classes)

    def zero_shot() -> Iterator[Part]:
        columns = (features.split(ROWS), labels.split(ROWS), share.split(ROWS))
        for rows, y, w in zip(*columns, strict=True):
            yield rows @ weight.T, y, w

    weight = weight / calibrated(zero_shot)
    log_q = prior_from_images(features, labels, weight)
    if bool((task.counts == 0).any()):
        task.note("classes without training images take the others' mean log prior")
    temperature = torch.ones((), device=weight.device)
    if task.validation is not None:
        parts = list(_tuned_parts(task, tuned, task.validation))
        temperature = calibrated(lambda: parts)
    return Joint(tuned.logits, task.backbone, weight, log_q + log_train, temperature)


def _tuned_parts(task: Task, tuned: Predictor, samples: Samples) -> Iterator[Part]:
    """Logits, classes and weights of samples under the fine-tuned part."""
    assert tuned.needs is not None
    share = balanced_weights(samples.labels, task.num_classes)
    done = 0
    for batch, labels in task.batches(samples, tuned.needs, 128):
        with task.backbone.precision_for(tuned.needs):
            yield tuned.logits(batch).float(), labels, share[done : done + len(labels)]
        done += len(labels)


def _merged(tuned: Predictor, start: Mapping[str, Tensor], alpha: float, name: str) -> Predictor:
    """The fine-tuned part with the weights at `alpha` between its start and its end.

    Raises:
        NotApplicable: its logits are not those of the module that it trained last.
    """
    module = tuned.logits
    if not isinstance(module, nn.Module) or module.state_dict().keys() != start.keys():
        raise NotApplicable(f"mode=weights: {name} does not predict with the module it trained")
    module.load_state_dict(interpolated(start, module.state_dict(), alpha))
    return tuned
