"""The pretended GPU finds mixes of devices and waits, and computes what the CPU computes.

tests/methods/test_conformance.py runs both checks on every method of the registry.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.conformance import CHECKS, run_checks
from benchmarks.conformance.pretended_gpu import GPU, DeviceMix, OnGpu, pretended_gpu
from methods.registry import METHODS

PLUGIN = '''
    import torch
    from dataclasses import dataclass

    from methods.base import Method, Predictor
    from methods.registry import register

    @register("mine", paper="-", needs="features")
    @dataclass(frozen=True)
    class Mine(Method):
        """Mine."""

        batch_size: int = 24

        def fit(self, task):
            weight = {weight}
            weight.requires_grad_()
            optimiser = torch.optim.SGD([weight], lr=0.1)
            order = task.epoch_order(0)
            parts = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
            for batch in task.train.loader(parts, needs="features"):
                labels = task.train.labels[batch.index]
                loss = torch.nn.functional.cross_entropy(batch.inputs @ weight.T, labels)
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
                {step}
            return Predictor(lambda batch: batch.inputs @ weight.detach().T)
'''
ON_DEVICE = 'task.normal_per_class("w", 16)'


@pytest.fixture
def check(plugin: Callable[..., Path]) -> Callable[..., dict[str, tuple[str, str]]]:
    """Both checks on a plug-in with this weight, which does this at every step."""

    def run(weight: str, step: str) -> dict[str, tuple[str, str]]:
        METHODS.load_file(plugin(dedent(PLUGIN).format(weight=weight, step=step)))
        checks = [c for c in CHECKS if c.name in ("gpu", "host_waits")]
        found = run_checks("mine", "single", checks)
        return {o.check.name: (o.status, o.line) for o in found}

    return run


# ---- plug-ins -----------------------------------------------------------------------------------


def test_a_plugin_that_keeps_to_the_device_passes(check: Callable[..., object]) -> None:
    found = check(ON_DEVICE, "pass")
    assert found == {"gpu": ("passed", ""), "host_waits": ("passed", "")}


def test_a_tensor_on_the_cpu_is_found_with_its_line(check: Callable[..., object]) -> None:
    status, line = check("torch.zeros(4, 16)", "pass")["gpu"]  # type: ignore[index]
    assert status == "failed"
    assert "on the CPU" in line and "mine.py" in line and "batch.inputs @ weight.T" in line


@pytest.mark.parametrize(
    "step",
    [
        "loss.item()",
        "float(loss)",
        "print(end='') if loss > 1e9 else None",
        "loss.detach().cpu()",
        "weight.detach()[weight[:, 0] > 0]",
        "torch.tensor([1.0], device=task.device)",
        "(batch.inputs > 0).nonzero()",
    ],
)
def test_a_read_at_every_step_is_found_with_its_line(
    check: Callable[..., object], step: str
) -> None:
    found = check(ON_DEVICE, step)
    status, line = found["host_waits"]  # type: ignore[index]
    assert found["gpu"][0] == "passed"  # type: ignore[index]
    assert status == "failed" and "at every step: mine.py, line" in line and step in line


# ---- the tensors --------------------------------------------------------------------------------


@pytest.fixture
def gpu() -> Iterator[None]:
    with pretended_gpu():
        yield


def test_devices_of_new_tensors(gpu: None) -> None:
    x = torch.ones(2, 3, device="cuda")
    same = [
        x + 1, x[0], x.new_zeros(2), torch.zeros_like(x), torch.arange(2, device=x.device),
        torch.tensor([1.0], device=x.device), x.new_tensor([1.0]), torch.ones(2).to(x.device),
        torch.ones(2).to(x), F.one_hot(x.long(), 4), x.to(torch.float64), x.cuda(), x.T @ x,
    ]  # fmt: skip
    assert [t.device for t in same] == [GPU] * len(same)
    elsewhere = [torch.ones(2), x.cpu(), x.to("cpu"), x.to(torch.device("cpu"), torch.float64)]
    assert [t.device.type for t in elsewhere] == ["cpu"] * len(elsewhere)
    assert elsewhere[3].dtype == torch.float64 and not isinstance(elsewhere[1], OnGpu)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(3),
        lambda x: x @ torch.ones(3, 2),
        lambda x: torch.cat([x, torch.ones(1, 3)]),
        lambda x: torch.where(torch.ones(2, 3) > 0, x, x),
        lambda x: F.linear(x, torch.ones(4, 3)),
        lambda x: nn.Linear(3, 2)(x),
        lambda x: torch.ones(2, 3).mul_(x),
    ],
)
def test_two_devices_do_not_mix(gpu: None, mix: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(DeviceMix, match="on the CPU"):
        mix(torch.ones(2, 3, device="cuda"))


def test_a_number_of_the_cpu_mixes_with_anything(gpu: None) -> None:
    x = torch.ones(2, device="cuda")
    assert (x * torch.tensor(2.0)).tolist() == [2.0, 2.0]


def test_copies_that_do_not_block_are_no_waits() -> None:
    with pretended_gpu() as waits:
        x = torch.ones(2).pin_memory().to("cuda", non_blocking=True)
        x += 1
        assert not waits
        torch.ones(2).to("cuda")
        assert sum(waits.values()) == 1
        assert x.sum().item() == 4
        assert sum(waits.values()) == 2


def test_gradients_and_updates_are_those_of_the_cpu() -> None:
    def trained(device: str) -> Tensor:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Linear(7, 3))
        net = net.double().to(device)
        optimiser = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
        x = torch.randn(6, 5, dtype=torch.float64).to(device)
        labels = torch.arange(6, device=device) % 3
        for _ in range(3):
            F.cross_entropy(net(x), labels).backward()
            optimiser.step()
            optimiser.zero_grad()
        return torch.cat([p.detach().flatten() for p in net.parameters()]).cpu()

    expected = trained("cpu")
    with pretended_gpu():
        found = trained("cuda")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_vmap_sees_the_device(gpu: None) -> None:
    x = torch.ones(4, 3, device="cuda")
    found = torch.func.vmap(lambda row: row + torch.arange(3, device=row.device))(x)
    assert found.device == GPU and found[0].tolist() == [1.0, 2.0, 3.0]


def test_autocast_chooses_the_types_of_a_gpu(gpu: None) -> None:
    """Torch's table of CUDA operations: products in half precision, these in single."""
    x = torch.ones(2, 3, device="cuda")
    layer = nn.Linear(3, 3).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        half = layer(x)
        assert half.dtype == (x @ x.T).dtype == torch.bfloat16
        single = [
            F.layer_norm(half, (3,)), half.softmax(-1), half.exp(), half.sum(), half.pow(2),
            F.cross_entropy(half, torch.zeros(2, dtype=torch.long, device="cuda")),
        ]  # fmt: skip
        assert [t.dtype for t in single] == [torch.float32] * len(single)
        assert F.gelu(half).dtype == torch.bfloat16  # follows its input


def test_nothing_of_it_is_left_behind() -> None:
    before = torch.autocast, torch.cuda._lazy_init, Tensor.pin_memory
    with pytest.raises(ValueError, match="stop"), pretended_gpu():
        raise ValueError("stop")
    assert before == (torch.autocast, torch.cuda._lazy_init, Tensor.pin_memory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not torch.cuda.is_available():
            with pytest.raises((RuntimeError, AssertionError)):
                torch.zeros(1, device="cuda")
