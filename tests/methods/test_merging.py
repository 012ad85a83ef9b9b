"""Merging of weights: interpolation, mean, and what cannot be merged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from methods.parts.merging import averaged, copied, interpolated


def networks(count: int) -> list[nn.Module]:
    """Networks with weights, a running mean and a counter."""
    torch.manual_seed(0)
    found = []
    for number in range(count):
        module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        for _ in range(number + 1):
            module(torch.randn(8, 3))
        found.append(module)
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.5])
def test_interpolation_is_number_by_number(share):
    first, second = (module.state_dict() for module in networks(2))
    found = interpolated(first, second, share)
    assert found.keys() == first.keys()
    for name, numbers in found.items():
        pairs = zip(first[name].flatten().tolist(), second[name].flatten().tolist(), strict=True)
        if "tracked" in name:  # a counter
            assert numbers.item() == 2 and numbers.dtype == torch.int64
        else:
            expected = [a + share * (b - a) for a, b in pairs]
            assert numbers.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_mean_of_linear_layers_has_the_mean_of_their_outputs():
    layers = [nn.Linear(5, 2) for _ in range(4)]
    x = torch.randn(7, 5)
    expected = torch.stack([layer(x) for layer in layers]).mean(0)
    mean = nn.Linear(5, 2)
    mean.load_state_dict(averaged([layer.state_dict() for layer in layers]))
    torch.testing.assert_close(mean(x), expected)
    alone = averaged([layers[0].state_dict()])
    assert torch.equal(alone["weight"], layers[0].weight)
    assert alone["weight"].data_ptr() != layers[0].weight.data_ptr()


def test_a_copy_does_not_change_with_its_module():
    layer = nn.Linear(2, 2)
    before, weight = copied(layer.state_dict()), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    assert torch.equal(before["weight"], weight)


@pytest.mark.parametrize("other", [nn.Linear(3, 3), nn.Linear(2, 2, bias=False)])
def test_other_architectures_are_refused(other):
    with pytest.raises(ValueError, match="different architectures"):
        averaged([nn.Linear(2, 2).state_dict(), other.state_dict()])
