"""CLIP-LoRA: low-rank updates in both towers of CLIP (Zanella and Ben Ayed 2024, arXiv 2405.18541).

Queries, keys and values of every block of the image tower and of the text tower get an update of
rank 2, trained with plain cross-entropy on scale * cos(image, text) of one prompt per class, the
backbone's own classifier. Values are those of the authors' code (github.com/MaxZanella/CLIP-LoRA,
358f0d7): an update is alpha / sqrt(r) * B A x, with dropout of x in training, A within
±1 / sqrt(W) and B zero at first; AdamW under a cosine that is lowered at every step, down to 1e-6.

The method is for few shots and knows nothing of long tails. Its 500 iterations per shot in batches
of 32 are 16,000 / C epochs over equally many images of C classes; `epochs` counts these. Crops
are resized bilinearly here and bicubically there.

The multi-label form is ours: the authors have none. A scale and one bias per class, fitted to the
labels of the training images before the first step and then trained, stand between the scaled
cosines and a loss on sigmoids (`parts.heads.calibration`), as in `coop`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, Positive, Share
from benchmarks.towers import image, text
from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.heads.calibration import Calibration
from methods.parts.image.adapters import LowRank, Slots
from methods.parts.image.finetune import shape
from methods.parts.image.vit import AdaptedViT, vit
from methods.parts.losses import MultiLabelLossName, named_loss
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.text.text_tower import text_tower, tokenised
from methods.parts.training.loop import Schedule, train
from methods.registry import register
from methods.space import Distribution, LogUniform, OneOf

Encoders = Literal["both", "image", "text"]


@register(
    "clip_lora",
    paper="Zanella and Ben Ayed 2024, arXiv 2405.18541",
    needs="images",
    tasks=("single", "multi"),
    reconstruction={"multi": "CLIP-LoRA's multi-label form is ours"},
)
@dataclass(frozen=True)
class ClipLora(Method):
    """Low-rank updates of queries, keys and values in both towers, CLIP's own classifier."""

    encoders: Encoders = "both"
    """Towers with updates; the other one stays frozen."""
    rank: Annotated[int, Count] = 2
    alpha: Annotated[float, Positive] = 1.0
    """The update is scaled by alpha / sqrt(rank)."""
    dropout: Annotated[float, Share] = 0.25
    """Dropout of the input of an update."""
    loss: MultiLabelLossName = "bce"
    """Multi-label: the loss, summed over the classes; db has its authors' values for COCO-LT, asl
    and bal those of their authors' scripts."""
    lr: Annotated[float, NonNegative] = 2e-4
    epochs: Annotated[int, Count] = 16
    """500 iterations per shot are 16 epochs on ImageNet, 44 with 365 classes, 160 with 100."""
    batch_size: Annotated[int, Count] = 32
    weight_decay: Annotated[float, NonNegative] = 0.01
    text: TextSource = "names"
    """Texts that fill the prompts (the first template only, as in the authors' code)."""
    augment: Augmentation = "crop_flip"

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(5e-5, 5e-3),
        "rank": OneOf((2, 4, 8, 16)),
    }

    def fit(self, task: Task) -> Predictor:
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay,
            augment=self.augment, optimiser="adamw", anneal="step", floor=min(1e-6, self.lr),
        )  # fmt: skip
        module = self.model(task)
        if task.kind == "single":
            return train(task, module, cross_entropy, schedule, "images")
        loss = named_loss(self.loss, task, db_neg_scale=2.0, db_mu=0.2)
        start = module.to(task.device).of_frozen(task.train.features())
        module.calibration = Calibration(task, loss, start)
        predictor = train(task, module, loss, schedule, "images")
        return dataclasses.replace(predictor, uncalibrated=module.uncalibrated)

    def model(self, task: Task) -> TwoTowers:
        """Both towers with the updates at their start.

        Raises:
            NotApplicable: the towers are not a ViT and a causal text tower of plain blocks.
        """
        visual = vit(task.backbone)
        tower = text_tower(task.backbone, "changes the text tower")
        width, blocks = shape(visual)
        prompts = [prompt for (prompt,) in task.prompts(self.text, ensemble=False)]
        task.note_unknown_words(prompts)
        images = self._slots(task, "image", width, blocks)
        text_width = tower.token_embedding.weight.shape[1]
        texts = self._slots(task, "text", text_width, len(tower.transformer.resblocks))
        return TwoTowers(task, AdaptedViT(visual, images), TextClassifier(task, prompts, texts))

    def _slots(self, task: Task, tower: str, width: int, blocks: int) -> list[Slots]:
        """The updates of a tower, one per block; none if it stays frozen."""
        if self.encoders not in (tower, "both"):
            return []

        def update(block: int, part: str) -> LowRank:
            key = randomness.key(task.seed, tower, block, part)
            scale = self.alpha * self.rank**-0.5
            return LowRank(
                width, self.rank, key, divisor=1 / scale, reach=width**-0.5, dropout=self.dropout
            )

        return [
            Slots(query=update(i, "query"), key=update(i, "key"), value=update(i, "value"))
            for i in range(blocks)
        ]


class TextClassifier(nn.Module):
    """The text features of the classes' prompts, by a text tower with updates.

    The prompts are encoded in alphabetical order, so that dropout does not depend on the order of
    the classes.

    Args:
        task: provides the backbone.
        prompts: C prompts.
        slots: updates of every block; none: the tower is frozen.
    """

    _tokens: Tensor
    _end: Tensor
    _back: Tensor

    def __init__(self, task: Task, prompts: Sequence[str], slots: Sequence[Slots]) -> None:
        super().__init__()
        self.slots = nn.ModuleList(slots)
        self._tower = [text_tower(task.backbone)]  # in a list: frozen, neither moved nor saved
        order = sorted(range(len(prompts)), key=prompts.__getitem__)
        tokens, end = tokenised(task.backbone, [prompts[c] for c in order])
        back = torch.tensor(order).argsort().to(tokens.device)
        for name, tensor in (("_tokens", tokens), ("_end", end), ("_back", back)):
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> Tensor:
        """(C, D) text features, not normalised."""
        slots = cast(Sequence[Any], self.slots)
        length = self._tokens.shape[1]
        features = text.encode(self._tower[0], self._tokens, self._end, slots, length)
        return features[self._back]


class TwoTowers(nn.Module):
    """scale * cos(image feature, text feature of a class), with the backbone's scale.

    On multi-label data a `Calibration` follows, which is trained together with the updates.
    """

    def __init__(self, task: Task, images: AdaptedViT, texts: TextClassifier) -> None:
        super().__init__()
        self.images = images
        self.texts = texts
        self._visual = [task.backbone.model.visual]
        self._scale = task.backbone.logit_scale
        self._weight: Tensor | None = None
        self.calibration: nn.Module = nn.Identity()

    def train(self, mode: bool = True) -> TwoTowers:
        self._weight = None  # texts change during training, but not between evaluations
        return super().train(mode)

    @torch.no_grad()
    def of_frozen(self, features: Tensor) -> Tensor:
        """(N, C) scaled cosines of features (N, D) from the frozen image tower."""
        weight = _unit(self.texts())
        return self._scale * features.to(weight) @ weight.T

    def uncalibrated(self, batch: Batch) -> Tensor:
        """B images -> (B, C) scaled cosines."""
        weight = self._weight
        if weight is None:
            weight = _unit(self.texts())
            if not self.training or not self.texts.slots:
                self._weight = weight
        x = image.projected(self._visual[0], self.images(batch.inputs))
        # In full precision: rounded cosines tie, and argmax picks the first class.
        with torch.autocast(x.device.type, enabled=False):
            return self._scale * _unit(x) @ weight.T

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        logits = self.uncalibrated(batch)
        with torch.autocast(logits.device.type, enabled=False):
            found: Tensor = self.calibration(logits)
        return found


def _unit(x: Tensor) -> Tensor:
    """Rows of unit length, in single precision or better."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
