"""Each toy model has the trait it is there for, and its tensors can be carried from one process to another."""

import pytest
import torch
from torch import nn

from course_env.toy_models import TOY_MODELS, load_tensors, make_toy, tensors_of

INPUT_WIDTH = {"stack": 8, "wide": 37, "tied": 6}  # of the others: 5


def output_of(name: str, module: nn.Module, **options: object) -> torch.Tensor:
    """Return what a toy model makes of three rows."""
    x = torch.linspace(-1, 1, 3 * INPUT_WIDTH.get(name, 5), dtype=torch.float64)
    return module(x.reshape(3, -1), **options)


@pytest.mark.parametrize("name", TOY_MODELS)
def test_every_model_is_float64_and_freshly_drawn(name):
    """Two models of one name differ, and their outputs are float64."""
    module, other = make_toy(name), make_toy(name)
    assert output_of(name, module).dtype == torch.float64
    assert not torch.equal(next(module.parameters()), next(other.parameters()))


@pytest.mark.parametrize("name", TOY_MODELS)
def test_tensors_go_from_one_model_to_another(name):
    """With the tensors of another model, a model computes what that one does."""
    module, other = make_toy(name).eval(), make_toy(name).eval()
    assert not torch.equal(output_of(name, module), output_of(name, other))
    load_tensors(other, tensors_of(module))
    assert torch.equal(output_of(name, module), output_of(name, other))


def test_tensors_are_copies_and_keep_their_places():
    """tensors_of() copies, and load_tensors() writes in place."""
    module = make_toy("mlp")
    parameters, values = list(module.parameters()), tensors_of(module)
    kept = {name: value.clone() for name, value in values.items()}
    with torch.no_grad():
        parameters[0].zero_()
    assert all(torch.equal(values[name], kept[name]) for name in kept)
    load_tensors(module, values)
    assert all(before is after for before, after in zip(parameters, module.parameters(), strict=True))
    assert torch.equal(parameters[0], values["0.weight"])


def test_a_tied_weight_is_one_parameter():
    """The weight of both layers is one parameter, and the layer between is frozen."""
    module = make_toy("tied")
    assert module.first.weight is module.last.weight
    assert [n for n, p in module.named_parameters() if p.requires_grad] == ["first.weight", "first.bias", "last.bias"]
    assert sorted(n for n, p in module.named_parameters() if not p.requires_grad) == ["frozen.bias", "frozen.weight"]
    output_of("tied", module).sum().backward()
    assert module.first.weight.grad is not None
    assert module.frozen.weight.grad is None


def test_a_branch_that_is_not_used_has_no_gradient():
    """Only the branches named have a gradient, and the result does not depend on their order."""
    module = make_toy("branchy")
    there = output_of("branchy", module, branches=("right", "left"))
    assert torch.allclose(there, output_of("branchy", module, branches=("left", "right")))
    output_of("branchy", module, branches=("right",)).sum().backward()
    used = [name for name, parameter in module.named_parameters() if parameter.grad is not None]
    assert used == ["trunk.weight", "trunk.bias", "branches.right.weight", "branches.right.bias"]


def test_gradients_of_branches_are_ready_in_reverse_of_their_use():
    """The gradient of the branch used last is ready first, and the trunk's last."""
    module, ready = make_toy("branchy"), []
    for name, parameter in module.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: ready.append(name.rpartition(".")[0]))
    output_of("branchy", module, branches=("right", "spare", "left")).sum().backward()
    assert list(dict.fromkeys(ready)) == ["branches.left", "branches.spare", "branches.right", "trunk"]


def test_buffers_of_every_kind():
    """BatchNorm's statistics change in training, its count is int64, and one buffer is not in state_dict()."""
    module = make_toy("batch_norm")
    assert {name for name, _ in module.named_buffers()} - set(module.state_dict()) == {"scale"}
    assert tensors_of(module)["norm.num_batches_tracked"].dtype == torch.int64
    output_of("batch_norm", module)
    assert module.norm.num_batches_tracked == 1


def test_one_layer_of_another_dtype():
    """The middle layer is float32 between float64 ones, and its gradient is float32 too."""
    module = make_toy("mixed")
    output_of("mixed", module).sum().backward()
    assert [parameter.grad.dtype for parameter in module.parameters()] == [
        *[torch.float64] * 2,
        *[torch.float32] * 2,
        *[torch.float64] * 2,
    ]


def test_sizes():
    """The stack has four layers of 576 bytes; the wide model has enough bytes to stand out."""
    stack, wide = make_toy("stack"), make_toy("wide")
    assert [sum(p.nbytes for p in layer.parameters()) for layer in stack if isinstance(layer, nn.Linear)] == [576] * 4
    assert sum(p.nbytes for p in wide.parameters()) > 100_000


def test_an_unknown_name_is_refused():
    """The error names the model that was probably meant."""
    with pytest.raises(ValueError, match="batch_norm"):
        make_toy("batchnorm")


def test_values_of_another_model_are_refused():
    """Names that are missing or foreign are an error, and nothing is changed."""
    module = make_toy("mlp")
    before = tensors_of(module)
    with pytest.raises(ValueError, match="trunk"):
        load_tensors(module, tensors_of(make_toy("branchy")))
    assert all(torch.equal(before[name], value) for name, value in tensors_of(module).items())
