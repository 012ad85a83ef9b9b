"""Functions of predictors as data: what is written is what is read, and no other code."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.run.function_code import Names, UnknownCode
from benchmarks.run.function_reader import FunctionReader
from benchmarks.run.function_writer import FunctionWriter, Unsaveable
from methods.base import Batch, Predictor
from methods.parts.heads.linear_classifiers import LinearHead
from methods.parts.image.changes import Weights
from methods.parts.image.vit import with_own
from methods.registry import METHODS

OURS = Names("methods.ncm")
PLUGIN = '''
    from dataclasses import dataclass

    import torch

    from methods.base import Method, Predictor
    from methods.registry import register


    class Scale:
        def __init__(self, by):
            self.by = by

        def times(self, x):
            return self.by * x


    def double(x):
        return 2 * x


    @register("mine", paper="none", needs="features")
    @dataclass(frozen=True)
    class Mine(Method):
        """Closures, a bound method, a function of the module, numbers that no file can hold."""

        @torch.no_grad()
        def fit(self, task):
            weight, scale, chosen = torch.arange(8.0).reshape(4, 2), Scale(3.0), [double, 1.5]
            low = float("-inf")

            def inner(x, more=torch.ones(4)):
                return scale.times(x @ weight.T + more)

            return Predictor(lambda batch: inner(chosen[0](batch.inputs)).clamp(min=low))

    @register("files", paper="none", needs="features")
    @dataclass(frozen=True)
    class Files(Method):
        """Holds an open file."""

        def fit(self, task):
            stream = open(__file__)
            stream.close()
            return Predictor(lambda batch: batch.inputs + len(stream.name))
'''


def again(value: Any, backbone: Backbone, names: Names = OURS) -> Any:
    """A value, written and read, by way of JSON."""
    writer = FunctionWriter(names, backbone)
    form = writer.form(value)
    nodes = json.loads(json.dumps(writer.nodes))
    return FunctionReader(nodes, writer.tensors, names, backbone).value(form)


def test_parts_that_are_shared_stay_shared(small: Backbone) -> None:
    weight = nn.Parameter(torch.randn(2, 2))
    circle: list[Any] = [weight, torch.float16, (1, None, float("inf")), {"a": weight}]
    circle.append(circle)
    found = again(circle, small)
    assert found[4] is found and found[3]["a"] is found[0]
    assert isinstance(found[0], nn.Parameter) and torch.equal(found[0], weight)
    assert found[1:3] == circle[1:3]


def test_frozen_weights_are_named_and_not_stored(small: Backbone) -> None:
    model: Any = small.model
    weight = model.visual.conv1.weight
    writer = FunctionWriter(OURS, small)
    form = writer.form([small, model.visual, weight, weight.detach(), model.visual])
    assert writer.tensors == {}
    found = FunctionReader(writer.nodes, {}, OURS, small).value(form)
    assert found[0] is small and found[1] is found[4] is model.visual and found[2] is weight
    assert found[3] is not weight and found[3].data_ptr() == weight.data_ptr()


def test_a_copy_of_a_tower_shares_what_it_did_not_train(small: Backbone) -> None:
    visual: Any = small.model.visual
    own = with_own(visual, lambda name: name.endswith("ln_post.bias"))
    own.ln_post.bias.data += 1
    writer = FunctionWriter(OURS, small)
    form = writer.form([own, own.ln_post.bias])
    assert [t.numel() for t in writer.tensors.values()] == [32]
    found, bias = FunctionReader(writer.nodes, writer.tensors, OURS, small).value(form)
    assert found is not visual and found.ln_post.bias is bias
    assert torch.equal(bias, own.ln_post.bias) and found.conv1.weight is visual.conv1.weight


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_plug_in_may_lie_in_another_folder(
    place: str, plugin: Callable[..., Path], small: Backbone
) -> None:
    file = plugin(PLUGIN)
    METHODS.load_file(file)
    cls = METHODS.get("mine")
    predictor: Predictor = cls().fit(None)
    names = Names(cls.__module__)
    writer = FunctionWriter(names, small)
    form = writer.form(predictor.logits)
    assert str(file.parent) not in json.dumps(writer.nodes)
    if place == "elsewhere":
        (file.parent / "other").mkdir()
        moved = shutil.copy(file, file.parent / "other" / "new.py")
        for name in ("mine", "files"):
            del METHODS.entries()[name]
            METHODS._classes.pop(name)
        METHODS.load_file(Path(moved))
        names = Names(METHODS.get("mine").__module__)
        assert names._module != cls.__module__
    found = FunctionReader(writer.nodes, writer.tensors, names, small).value(form)
    batch = Batch(torch.arange(3), torch.randn(3, 2), None)
    assert torch.equal(found(batch), predictor.logits(batch))


def test_modules_beside_a_plug_in_move_with_it(
    plugin: Callable[..., Path], small: Backbone, tmp_path: Path
) -> None:
    """Their names contain the folder, which differs between machines."""
    parts = """
        class Scale:
            def __init__(self, by):
                self.by = by

            def __call__(self, batch):
                return self.by * batch.inputs
    """
    text = """
        from dataclasses import dataclass

        from methods.base import Method, Predictor
        from methods.registry import register
        from parts import Scale


        @register("near", paper="none", needs="features")
        @dataclass(frozen=True)
        class Near(Method):
            def fit(self, task):
                return Predictor(Scale(3.0))
    """
    plugin(parts, "here/parts.py")
    METHODS.load_file(plugin(text, "here/near.py"))
    logits = METHODS.get("near")().fit(None).logits
    writer = FunctionWriter(Names(METHODS.get("near").__module__), small)
    form = writer.form(logits)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    del METHODS.entries()["near"]
    METHODS._classes.pop("near")
    METHODS.load_file(tmp_path / "there" / "near.py")
    names = Names(METHODS.get("near").__module__)
    found = FunctionReader(writer.nodes, {}, names, small).value(form)
    assert type(found) is not type(logits) and found.by == 3.0


def test_what_no_file_can_hold_is_said(plugin: Callable[..., Path], small: Backbone) -> None:
    METHODS.load_file(plugin(PLUGIN))
    cls = METHODS.get("files")
    logits = cls().fit(None).logits
    with pytest.raises(Unsaveable, match="it holds _io:TextIOWrapper"):
        again(logits, small, Names(cls.__module__))
    with pytest.raises(Unsaveable, match="test_function_files"):
        again(lambda batch: batch, small)


@pytest.mark.parametrize(
    "node",
    [
        {"function": "os:system", "cells": [], "defaults": None},
        {"function": "shutil:rmtree", "cells": [], "defaults": None},
        {"function": "methods.registry:importlib", "cells": [], "defaults": None},
        {"function": "benchmarks.safe_files:remove_leftovers", "cells": [], "defaults": None},
        {"function": "plugin:anything", "cells": [], "defaults": None},
        {"function": "plugin.os:system", "cells": [], "defaults": None},
        {"function": "methods.base:randomness.seeded", "cells": [], "defaults": None},
        {"function": "methods.ncm:class_means", "cells": [], "defaults": None},  # imported there
        {"function": "methods.ncm:NearestClassMean.fit/logits#9", "cells": [], "defaults": None},
        {"function": "methods.ncm:NearestClassMean.fit/logits#0", "cells": [], "defaults": None},
        {"object": "subprocess:Popen", "state": {}},
        {"object": "pathlib:Path", "state": {}},
        {"object": "torch.nn.modules.module:Any", "state": {}},
        {"object": "methods.nowhere:X", "state": {}},
        {"named": "urllib.parse:ParseResult", "items": []},
    ],
)  # fmt: skip
def test_other_code_is_refused(node: dict[str, Any], small: Backbone) -> None:
    with pytest.raises(UnknownCode):
        FunctionReader([node], {}, OURS, small).value({"node": 0})


def test_modules_are_as_they_were(small: Backbone) -> None:
    head = LinearHead(torch.randn(4, 3)).eval()
    found = again(nn.Sequential(head, nn.GELU()).eval(), small)
    x = torch.randn(5, 3)
    assert torch.equal(found(x), nn.functional.gelu(head(x)))
    assert not found.training and not found[0].training
    assert {n: tuple(p.shape) for n, p in found.named_parameters()} == {
        f"0.{n}": tuple(p.shape) for n, p in head.named_parameters()
    }
    assert copy.deepcopy(found)(x).shape == (5, 4)


def test_tuples_with_names(small: Backbone) -> None:
    layer = Weights("attn.weight", None, 3, "attn.weight")
    found = again([layer], small)
    assert found == [layer] and type(found[0]) is Weights


def test_a_tensor_on_another_shape_of_memory_is_stored_whole(small: Backbone) -> None:
    whole = torch.randn(4, 6)
    part: Tensor = whole[:, ::2].T
    assert torch.equal(again(part, small), part)
