"""LMPT: prompt tuning with a class-specific embedding loss (Xia et al. 2023, arXiv 2305.04536).

Class-specific contexts are learned under (1 - w) * classification loss + w * embedding loss. On
multi-label data, LMPT's own, the first is the distribution-balanced loss and the second compares
prompts with the captions of the training images. The single-label form is our reconstruction:
softmax with logit adjustment, and the description of an image's class in place of its caption.

The embedding loss follows the meaning of its formula and not the published code, which cannot run
as released (github.com/richard-peng-xia/LMPT, aab39ca; issues 5 and 7) and is the only source that
could be read: the paper's equations could not. For image b and class c it is

    omega_c * relu(mu_c - y_bc * cos_bc),   y_bc = +1 if b shows c, else -1,
    mu_c = margin / n_c^(1/4),   omega_c = n_c^-gamma / (sum over classes j of n_j^-gamma),

where cos_bc is the mean cosine over all pairs of a token of b's text and a token of c's prompt, in
embeddings before the text transformer. Our reading of it:

- Raw counts n_c (the code divides by a softmax of them, mostly zeros), and means over pairs of real
  tokens (the code sums over positions, padding included).
- The cosine itself in the hinge. The code has 1 - cos, which is always far above a margin of at
  most 0.2, so that terms of one label sign would never be active and those of the other always.
  That distance also reverses the sign: prompts are pushed away from the texts of their own class.
  `sign` offers both.
- `terms = balanced`: a class's positive terms weigh as much in the training set as its negative
  ones. In the formula's plain mean (`terms = mean`) the negatives of a class in one image of 500
  outweigh its positives by 500 to 1: its prompt moves away from all words, including its own.

Both losses are sums over the classes, that is C times the published means: their ratio is the
published one, and a step at the same learning rate is C times as long. Four more things differ
from the release: a cosine schedule (their code lowers the learning rate by the *test* mAP), frozen
features of unaugmented images, whole captions (they use the first 75 characters), and in training a
fitted scale and biases between the scaled cosines and the loss (`parts.heads.calibration`). Their
measure, average precision on the softmax of scale * cosine, is the data sets' `scores=softmax`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.errors import NotApplicable
from benchmarks.plugins.ranges import Count, NonNegative, Positive, Share
from methods.base import Batch, Task
from methods.parts.ensembling import views_for
from methods.parts.losses import MultiLabelLossName, multi_label_settings, named_loss
from methods.parts.losses.base import Loss, LossFunction
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.text.prompts import PromptClassifier, PromptLearner, prompt_schedule
from methods.parts.text.text_tower import mean_direction, words
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Training
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform

CHUNK = 1024
"""Texts encoded at a time, to bound memory."""


@register(
    "lmpt",
    paper="Xia et al. 2023, arXiv 2305.04536",
    needs="features",
    tasks=("single", "multi"),
    reconstruction={
        "single": "LMPT's embedding loss (its code cannot run) and single-label form are our "
        "reconstruction",
        "multi": "LMPT's embedding loss is our reconstruction (its code cannot run)",
    },
)
@dataclass(frozen=True)
class Lmpt(Learner):
    """Class-specific prompts held to captions or descriptions by a class-aware soft margin."""

    contexts: Annotated[int, Count] = 16
    """Context vectors per prompt (this and the next as in README and train.sh of their code)."""
    class_specific: bool = True
    """Separate contexts for every class instead of shared ones."""
    cse_weight: Annotated[float, Share] = 0.5
    """w, share of the class-specific embedding loss (1 - lambda in the code); 0 omits it."""
    margin: Annotated[float, NonNegative] = 0.2
    """mu_c = margin / n_c^(1/4) (train.py)."""
    gamma: Annotated[float, NonNegative] = 2.0
    """omega_c is proportional to n_c^-gamma (csel.py)."""
    sign: Literal["pull", "code"] = "pull"
    """pull: a prompt moves towards the texts of its own class; code: the sign as released."""
    terms: Literal["balanced", "mean"] = "balanced"
    """balanced: positive and negative terms of a class have equal weight; mean: all pairs do."""
    tau: Annotated[float, NonNegative] = 1.0
    """Single-label: strength of the logit adjustment."""
    loss: MultiLabelLossName = "db"
    """Multi-label: the classification loss."""
    db_neg_scale: Annotated[float, Positive] = 2.0
    """lambda of db: 2 for COCO-LT, 5 for VOC-LT."""
    db_mu: Annotated[float, Share] = 0.2
    """mu of db: 0.2 for COCO-LT, 0.3 for VOC-LT."""
    asl_gamma_pos: Annotated[float, NonNegative] = 0.0
    """Focusing exponent of asl's positives (training scripts of ASL and LMPT; 1 in ASL's class)."""
    asl_detach: bool = True
    """No gradient through asl's focusing factors (the same scripts); false: as in its equations."""
    bal_power: Annotated[float, NonNegative] = 1.6
    """Exponent of bal's class weights: 1.6 for COCO-LT, 1.35 for VOC-LT (LM-CLIP's configs)."""
    bal_divisor: Annotated[float, NonNegative] = 0.0
    """Divisor of the logits in bal; 0: the largest logit of the batch (LM-CLIP's code)."""
    lr: Annotated[float, NonNegative] = 5e-4
    """train.sh, where both losses are means over the classes; here they are sums."""
    epochs: Annotated[int, Count] = 50
    batch_size: Annotated[int, Count] = 64
    weight_decay: Annotated[float, NonNegative] = 1e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(5e-4, 1.0),
        "cse_weight": Uniform(0.1, 0.95),
        "gamma": Uniform(0.0, 2.0),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        prompts = PromptLearner(task, self.contexts, class_specific=self.class_specific)
        classification = self._classification(task)
        classifier = PromptClassifier(prompts, task, classification)
        schedule = prompt_schedule(self.epochs, self.batch_size, self.lr, self.weight_decay)
        scores = classifier.uncalibrated
        if self.cse_weight == 0:
            predictor = yield Training(
                task, classifier, classification, schedule, uncalibrated=scores
            )
            return dataclasses.replace(predictor, views=views)
        embedding = EmbeddingLoss(
            task, self.margin, self.gamma, sign=self.sign, balanced=self.terms == "balanced"
        )
        loss = _Both(classification, embedding, prompts, self.cse_weight)
        before = embedding.active(prompts)
        predictor = yield Training(task, classifier, loss, schedule, uncalibrated=scores)
        after = embedding.active(prompts)
        task.detail(
            "active terms of the embedding loss before and after training: "
            f"{before[0]:.0%} and {after[0]:.0%} of the positive, "
            f"{before[1]:.0%} and {after[1]:.0%} of the negative ones"
        )
        return dataclasses.replace(predictor, views=views)

    def _classification(self, task: Task) -> LossFunction:
        if task.kind == "single":
            return LogitAdjusted(task.log_prior, self.tau)
        return named_loss(self.loss, task, **multi_label_settings(self))


class _Both(Loss):
    """(1 - w) * classification loss + w * embedding loss."""

    coupled = False
    weight: Tensor

    def __init__(
        self,
        classification: LossFunction,
        embedding: EmbeddingLoss,
        prompts: PromptLearner,
        weight: float,
    ) -> None:
        super().__init__()
        self._classification = classification
        self._embedding = embedding
        self._prompts = prompts
        self.register_buffer("weight", torch.tensor(weight, device=prompts.context.device))

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits -> (B,) losses."""
        embedding = self._embedding(self._prompts.direction(), labels, batch.index)
        return torch.lerp(self._classification(logits, labels, batch), embedding, self.weight)


class EmbeddingLoss(nn.Module):
    """The class-specific embedding loss: sum over c of omega_c * relu(mu_c - y_bc * cos_bc).

    A class without training images has weight 0.

    Args:
        task: texts, labels and counts.
        margin: mu_c = margin / n_c^(1/4).
        gamma: omega_c is proportional to n_c^-gamma.
        sign: "pull", or "code" for the opposite sign of the cosine.
        balanced: positive terms times N / 2n_c and negative ones times N / 2(N - n_c), so that the
            mean over all N images is the mean of the positive and the negative mean.

    Raises:
        NotApplicable: the task has no texts to compare the prompts with.
    """

    weights: Tensor
    margins: Tensor
    _factors: Tensor

    def __init__(
        self, task: Task, margin: float, gamma: float, *, sign: str, balanced: bool
    ) -> None:
        super().__init__()
        texts, self._text_of = _texts(task)
        task.note_unknown_words(texts)
        self._texts = torch.cat(
            [
                mean_direction(*words(task.backbone, texts[i : i + CHUNK]))
                for i in range(0, len(texts), CHUNK)
            ]
        )  # (n, W)
        self._labels = task.train.labels
        there, counts = task.counts > 0, task.counts.clamp(min=1)
        weights = there * counts**-gamma
        self.register_buffer("weights", weights / weights.sum())  # (C,)
        self.register_buffer("margins", margin * counts**-0.25)  # (C,)
        self._sign = 1.0 if sign == "pull" else -1.0
        images = len(task.train)
        kinds = torch.stack([counts, (images - counts).clamp(min=1)])  # (2, C)
        factors = images / (2 * kinds) if balanced else torch.ones_like(kinds)
        self.register_buffer("_factors", factors)

    def forward(self, prompts: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Losses (B,) of training samples.

        Args:
            prompts: (C, W) mean token directions of the prompts.
            labels: (B,) or (B, C).
            index: (B,) positions in the training split.
        """
        targets = self._targets(labels)
        factors = torch.where(targets > 0, self._factors[0], self._factors[1])
        return factors * self._hinge(prompts, targets, index) @ self.weights

    @torch.no_grad()
    def active(self, prompts: PromptLearner) -> tuple[float, float]:
        """Shares of the positive and of the negative terms over all training images that are not 0.

        Terms of classes without training images are left out.
        """
        directions = prompts.direction()
        found = torch.zeros(2, 2, dtype=torch.float64)  # positive or negative; active or any
        for index in torch.arange(len(self._labels)).split(CHUNK):
            targets = self._targets(self._labels[index.to(self._labels.device)])
            hinge = self._hinge(directions, targets, index)
            for row, value in zip(found, (1, -1), strict=True):
                which = (targets == value) & (self.weights > 0)
                row += torch.stack([(which & (hinge > 0)).sum(), which.sum()]).cpu()
        positive, negative = (found[:, 0] / found[:, 1].clamp(min=1)).tolist()
        return positive, negative

    def _hinge(self, prompts: Tensor, targets: Tensor, index: Tensor) -> Tensor:
        """(B, C) relu(mu_c - y_bc * cos_bc)."""
        rows = self._text_of[index.to(self._text_of.device)]
        return F.relu(self.margins - self._sign * targets * (self._texts[rows] @ prompts.T))

    def _targets(self, labels: Tensor) -> Tensor:
        """(B,) or (B, C) labels -> (B, C), +1 for the classes of a sample and -1 for the others."""
        if labels.ndim == 1:
            labels = labels[:, None] == torch.arange(len(self.weights), device=labels.device)
        return 2.0 * labels - 1.0


def _texts(task: Task) -> tuple[list[str], Tensor]:
    """The texts, and the index of each training sample's text, (N,)."""
    if task.kind == "multi":
        if task.train.captions is None:
            raise NotApplicable("needs captions of the training images, but the data set has none")
        return list(task.train.captions), torch.arange(len(task.train), device=task.device)
    if task.texts.descriptions is None:
        raise NotApplicable("the single-label form needs class descriptions")
    return list(task.texts.descriptions), task.train.labels
