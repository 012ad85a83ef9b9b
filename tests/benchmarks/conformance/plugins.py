"""Plug-ins for the tests of the conformance checks: sound ones, and broken ones for each check."""

from __future__ import annotations

PLUGIN = '''
    from dataclasses import dataclass
    from typing import ClassVar

    import torch
    from torch.nn import functional as F

    from benchmarks import randomness
    from benchmarks.errors import NotApplicable
    from benchmarks.conformance.tiny import tiny_data
    from methods.base import Method, Predictor
    from methods.registry import register
    from methods.space import LogUniform


    def weight(task, seed=None):
        """(C, D) random class directions."""
        shape, seed = task.train.features().shape[1:], task.seed if seed is None else seed
        w = randomness.normal_per_class(task.texts.class_names, shape, seed, "weight")
        return w.to(task.device)


    def head(w, scale=10.0):
        return Predictor(lambda batch: scale * batch.inputs @ w.T)


    def trained(
        task, epochs=2, told=None, catch=(), momentum=False, state=True, first=0, size=32,
        look=False,
    ):
        """A head trained by a loop of its own: class means nudged batch by batch."""
        w = torch.nn.Parameter(weight(task).clone())
        optimiser = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        start = 0
        saved = task.checkpoint.load()
        if saved is not None:
            start = saved["epoch"]
            w.data.copy_(saved["w"])
            if momentum:
                optimiser.load_state_dict(saved["optimiser"])
        for epoch in range(start, epochs):
            order = task.epoch_order(epoch)
            steps = -(-len(order) // size)
            parts = [order[step::steps] for step in range(steps)]
            for step, batch in enumerate(task.train.loader(parts, needs="features")):
                labels = task.train.labels[batch.index].float()
                if labels.ndim == 1:
                    labels = F.one_hot(labels.long(), len(w)).float()
                optimiser.zero_grad()
                F.binary_cross_entropy_with_logits(batch.inputs @ w.T, labels).backward()
                optimiser.step()
                if look:
                    w.sum().item()
                try:
                    task.progress(first + epoch, told or epochs, step + 1, steps)
                except catch:
                    pass
            if state:
                saved = {{"epoch": epoch + 1, "w": w.detach(), "optimiser": optimiser.state_dict()}}
                task.checkpoint.save(saved if state is True else {{**saved, "more": state}})
        found = w.detach()
        return Predictor(lambda batch: 10 * batch.inputs @ found.T, found.numel(), epochs, 128)


    class Opaque:
        """Nothing that a checkpoint on disk can hold."""


    {decorator}
    @dataclass(frozen={frozen})
    class Mine(Method):
        """{summary}"""

        lr: float = 0.5
        epochs: int = 10
        {field}

        def fit(self, task):
            {body}

        {more}
'''
REGISTER = (
    '@register("mine", paper="A. Author 2026", needs="features", tasks=("single", "multi"){})'
)
GOOD = "return trained(task, momentum=True)"

SOUND = {
    "trained by a loop of its own": GOOD,
    "trained from the start after an interruption": "return trained(task, state=False)",
    "random but untrained": "return head(weight(task))",
    "closed-form": (
        "p = head(F.normalize(task.text_features(), dim=1)); p.trainable_params = 9; return p"
    ),
}
"""Name -> body of `fit`."""

TOGETHER = "def fit_many(self, tasks): return [self.fit(task) for task in tasks]{}"
BROKEN = {
    "no docstring": ("declares", "docstring", {"summary": ""}),
    "no paper": (
        "declares",
        "paper",
        {"decorator": '@register("mine", paper="", needs="features")'},
    ),
    "exempt from what is not there": (
        "declares",
        "'sedes'",
        {"options": "exempt={'sedes': 'why not'}"},
    ),
    "exempt from what knows no exemption": (
        "declares",
        "'repeats', which allows no exemption",
        {"options": "exempt={'repeats': 'too hard'}"},
    ),
    "exempt for no reason": ("declares", "without a reason", {"options": "exempt={'seeds': ''}"}),
    "not frozen": ("frozen", "frozen=True", {"frozen": "False"}),
    "a field of a name that sweeps use": ("frozen", "recipe", {"field": "recipe: str = ''"}),
    "a field JSON cannot hold": (
        "configuration",
        "different",
        {"field": "widths: tuple[int, ...] = (1, 2)"},
    ),
    "a field the command line cannot write": (
        "configuration",
        "does not come back",
        {"field": "depths: dict = __import__('dataclasses').field(default_factory=dict)"},
    ),
    "a space of no field": (
        "space",
        "'rate', which is not a field",
        {"field": "space: ClassVar = {'rate': LogUniform(1e-3, 1)}"},
    ),
    "a default out of its range": (
        "space",
        "is outside",
        {"field": "space: ClassVar = {'lr': LogUniform(1e-3, 1e-2)}"},
    ),
    "raises": ("fits", r"ValueError: no luck \(mine.py, line \d+\)", "raise ValueError('no luck')"),
    "refuses what it declares": (
        "fits",
        "declares single-label data but refuses it: no",
        "raise NotApplicable('no')",
    ),
    "NaN": ("fits", "NaN", "return head(weight(task) * float('nan'))"),
    "a class too few": ("fits", r"\(16, 3\), not \(16, 4\)", "return head(weight(task)[1:])"),
    "uncalibrated logits of a class too few": (
        "fits",
        r"uncalibrated logits are \(16, 3\), not \(16, 4\)",
        "p = head(weight(task)); p.uncalibrated = lambda b: p.logits(b)[:, 1:]; return p",
    ),
    "whole numbers": (
        "fits",
        "torch.int64",
        "w = weight(task); return Predictor(lambda batch: (99 * batch.inputs @ w.T).long())",
    ),
    "centred on the batch": (
        "batches",
        "in batches of 3",
        "w = weight(task); "
        "return Predictor(lambda b: (b.inputs - b.inputs.mean(0)) @ w.T + b.inputs @ w.T)",
    ),
    "draws from torch": (
        "repeats",
        "task.generator",
        "return head(weight(task), scale=1 + float(torch.rand(())))",
    ),
    "random after all": (
        "seeds",
        "declared deterministic",
        ("return head(weight(task))", "deterministic=True"),
    ),
    "not random after all": (
        "seeds",
        "declare deterministic=True",
        "return head(weight(task, seed=0))",
    ),
    "keyed by place": (
        "permutation",
        "in another order",
        "w = torch.randn(weight(task).shape, generator=task.generator('weight')); "
        "return head(w.to(task.device))",
    ),
    "one value for all classes": (
        "permutation",
        "nearly equal",
        "w = weight(task); return head(w.mean(0).expand(len(w), -1))",
    ),
    "fit_many in the wrong order": (
        "together",
        "seed 0 gave other logits than alone",
        {"more": TOGETHER.format("[::-1]")},
    ),
    "fit_many forgets one": (
        "together",
        "returned 1 of",
        {"more": TOGETHER.format("[:1]")},
    ),
    "wants three classes": (
        "two_classes",
        "IndexError",
        "w = weight(task); w[2]; return head(w)",
    ),
    "a spread for each class": (
        "one_image",
        "NaN or infinite",
        "return head(weight(task) / (task.counts - 1)[:, None])",
    ),
    "divides by the counts": (
        "no_image",
        "NaN or infinite",
        "return head(weight(task) / task.counts[:, None])",
    ),
    "refuses without a word": (
        "no_image",
        "without a reason",
        "if task.counts.min() == 0: raise NotApplicable\n" + " " * 12 + GOOD,
    ),
    "silent": ("progress", "no progress", "p = head(weight(task)); p.epochs = 2; return p"),
    "steps for nothing": (
        "progress",
        "1 steps, but its cost says 0",
        "task.progress(0, 1, 1, 1); return head(weight(task))",
    ),
    "another number of epochs": (
        "progress",
        r"reported \[3\] epochs in all, its cost says 2",
        "return trained(task, momentum=True, told=3)",
    ),
    "counts epochs from one": (
        "progress",
        "missing or out of order",
        "return trained(task, momentum=True, first=1)",
    ),
    "free of charge": (
        "progress",
        "nothing was trained",
        "p = trained(task, momentum=True); p.trainable_params = 0; return p",
    ),
    "no validation": (
        "validation",
        "AssertionError",
        "assert task.validation is None\n" + " " * 12 + GOOD,
    ),
    "counts in place": (
        "untouched",
        "class counts changed",
        f"task.counts.clamp_(min=5)\n{' ' * 12}{GOOD}",
    ),
    "the backbone in training mode": (
        "untouched",
        r"the backbone's mode \(as a whole, visual, .* more\) changed",
        f"task.backbone.model.train()\n{' ' * 12}{GOOD}",
    ),
    "another backbone": (
        "untouched",
        r"the backbone's weights \(logit_scale\) changed",
        f"torch.nn.init.zeros_(task.backbone.model.logit_scale)\n{' ' * 12}{GOOD}",
    ),
    "a memory": (
        "untouched",
        "method's fields changed",
        f"object.__setattr__(self, 'seen', 1)\n{' ' * 12}{GOOD}",
    ),
    "more threads": (
        "process",
        r"changed for other methods: torch.set_num_threads was \d+, is \d+ again",
        f"torch.set_num_threads(torch.get_num_threads() + 1)\n{' ' * 12}{GOOD}",
    ),
    "a cost that is none": (
        "record",
        "trainable_params must be a whole number, not nan",
        "p = head(weight(task)); p.trainable_params = float('nan'); return p",
    ),
    "deaf to Ctrl-C": (
        "interruption",
        "did not stop it",
        "return trained(task, momentum=True, catch=KeyboardInterrupt)",
    ),
    "forgets its momentum": ("interruption", "different logits", "return trained(task)"),
    "a state that does not load": (
        "interruption",
        "state that it saved cannot be read",
        "return trained(task, momentum=True, state=Opaque())",
    ),
    "leaves a file": (
        "interruption",
        "left half.txt",
        "from pathlib import Path\n"
        "            folder = getattr(task.checkpoint, '_file', Path('/nowhere/a/b')).parents[1]\n"
        "            folder.exists() and (folder / 'half.txt').write_text('')\n"
        "            return trained(task, momentum=True)",
    ),
    "a tensor on the CPU": (
        "gpu",
        r"on the CPU.*mine.py",
        "w = weight(task); return head(w + torch.zeros(w.shape))",
    ),
    "reads its loss at every step": (
        "host_waits",
        r"at every step: mine.py",
        {
            "body": "return trained(task, momentum=True, look=True, size=self.batch_size)",
            "field": "batch_size: int = 24",
        },
    ),
    "test labels by place": (
        "hidden_labels",
        "position or label",
        "w = weight(task); return Predictor(lambda b: b.inputs @ w.T * (1 + b.index[:, None]))",
    ),
    "the test split in the predictor": (
        "hidden_labels",
        "reached from the predictor",
        "w, labels = weight(task), tiny_data().test.labels\n"
        "            return Predictor(lambda b: b.inputs @ w.T + 0 * len(labels))",
    ),
    "reads words without a note": (
        "words",
        "no note",
        "return head(weight(task) + task.backbone.encode_text(list(task.texts.class_names)))",
    ),
    "a note for nothing": (
        "words",
        "none were read",
        "task.note_unknown_words(task.texts.class_names)\n" + " " * 12 + GOOD,
    ),
}
"""Name -> check that must fail, pattern of its line, and the plug-in.

The plug-in is a body of `fit`, (body, options of `register`), or lines by the name of their place.
"""
