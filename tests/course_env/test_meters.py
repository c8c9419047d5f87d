"""Each meter of memory counts what this rank keeps alive, each storage once."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from course_env.meters import (
    LargestTemporary,
    LiveActivations,
    SavedForBackward,
    gradient_bytes,
    optimizer_state_bytes,
    parameter_bytes,
    storage_bytes,
)


@pytest.fixture(autouse=True)
def double_precision():
    """Every element has 8 bytes."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def mlp() -> nn.Sequential:
    """Return two layers of 66 parameters in all."""
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))


def test_parameters_and_gradients():
    """A module holds its parameters, and after backward gradients of the same size."""
    model = mlp()
    assert (parameter_bytes(model), gradient_bytes(model)) == (66 * 8, 0)

    model(torch.ones(3, 5)).sum().backward()

    assert gradient_bytes(model) == 66 * 8


def test_tied_weights_and_views_are_counted_once():
    """Shared storages count once, and a view counts as the whole that it keeps alive."""
    model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    flat = torch.zeros(100)

    assert parameter_bytes(model) == 16 * 8
    assert storage_bytes([flat[:2], flat[50:], flat.view(10, 10).T]) == 800


def test_freed_and_meta_parameters_hold_nothing():
    """A storage resized to nothing and a tensor on the meta device cost no memory."""
    model = mlp()
    model[0].weight.untyped_storage().resize_(0)

    assert parameter_bytes(model) == (66 - 40) * 8
    assert parameter_bytes(nn.Linear(3, 3, device="meta")) == 0


def test_optimizer_state_leaves_out_counts_of_steps():
    """AdamW holds two moments per parameter, momentum SGD one, plain SGD none."""
    num_bytes = []
    for make in (torch.optim.AdamW, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1)):
        model = mlp()
        optimizer = make(model.parameters())
        model(torch.ones(3, 5)).sum().backward()
        optimizer.step()
        num_bytes.append(optimizer_state_bytes(optimizer))

    assert num_bytes == [1056, 528, 0]


def test_saved_for_backward_counts_activations_once():
    """Linear saves its input, tanh its output, which is the next layer's input."""
    model, x = mlp(), torch.ones(3, 5)

    with SavedForBackward(exclude=model.parameters()) as saved:
        model(x).sum()

    assert (saved.num_bytes, saved.num_storages) == ((3 * 5 + 3 * 8) * 8, 2)


def test_saved_for_backward_counts_parameters_unless_excluded():
    """The weight of the last layer is saved too; that of the first is not, as its input needs no gradient."""
    model = mlp()

    with SavedForBackward() as saved:
        model(torch.ones(3, 5)).sum()

    assert saved.num_bytes == (3 * 5 + 3 * 8 + 2 * 8) * 8


def test_saved_for_backward_tells_a_new_storage_from_one_that_was_freed():
    """A graph that was dropped inside the block counts as saved, even if its memory is used again."""
    with SavedForBackward() as saved:
        for _ in range(5):
            torch.ones(1000, requires_grad=True).exp()

    assert saved.num_bytes == 5 * 8000


def test_checkpointing_saves_the_input_only():
    """The meter shows less saved where activations are computed again in backward."""
    model, x = mlp(), torch.ones(3, 5, requires_grad=True)

    with SavedForBackward(exclude=model.parameters()) as saved:
        checkpoint(model, x, use_reentrant=True).sum()

    assert saved.num_bytes == 3 * 5 * 8


def test_gradients_are_the_same_under_meters():
    """Meters watch and change nothing."""
    model, x = mlp(), torch.randn(3, 5)
    model(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()

    with LiveActivations(model), SavedForBackward(), LargestTemporary():
        model(x).square().sum().backward()

    assert all(torch.equal(a, p.grad) for a, p in zip(expected, model.parameters(), strict=True))


@pytest.mark.parametrize(("in_flight", "peak"), [(8, 8), (3, 3), (1, 1)], ids=["GPipe", "1F1B", "one by one"])
def test_live_activations_count_the_micro_batches_in_flight(in_flight, peak):
    """A forward pass is held until its backward pass, and its bytes with it."""
    stage, waiting = mlp(), []

    with LiveActivations(stage) as live:
        for _ in range(8):
            waiting.append(stage(torch.ones(2, 5)).sum())
            if len(waiting) == in_flight:
                waiting.pop(0).backward()
        while waiting:
            waiting.pop(0).backward()

    assert (live.peak_passes, live.passes) == (peak, 0)
    assert (live.peak_bytes, live.num_bytes) == (peak * (2 * 5 + 2 * 8) * 8, 0)


def test_activations_are_held_as_long_as_their_graph():
    """Whoever keeps an output keeps its activations; dropping it without backward frees them."""
    stage = mlp()
    with LiveActivations(stage) as live:
        outputs = [stage(torch.ones(2, 5)) for _ in range(3)]
        assert live.passes == 3
        del outputs[0]
        assert live.passes == 2
        outputs[0].sum().backward(retain_graph=True)
        assert live.passes == 2
        outputs[0].sum().backward()
        assert live.passes == 1


def test_passes_without_gradients_are_not_held():
    """Under no_grad nothing is saved, and a forward pass that raises leaves the meter in order."""
    stage = mlp()
    with LiveActivations(stage) as live:
        with torch.no_grad():
            stage(torch.ones(2, 5))
        with pytest.raises(RuntimeError, match="shapes"):
            stage(torch.ones(2, 6))
        kept = stage(torch.ones(2, 5))

    assert (live.peak_passes, live.passes) == (1, 1)
    assert kept.grad_fn is not None


def test_largest_temporary_is_found_with_its_operator():
    """Attention materialises its scores; views and in-place results do not count again."""
    q, k = torch.ones(2, 50, 4), torch.ones(2, 50, 4)

    with LargestTemporary() as largest:
        scores = q @ k.transpose(1, 2)
        scores.mul_(2).view(-1).expand(9, -1)
        del scores

    assert (largest.num_elements, largest.num_bytes, largest.shape) == (5000, 40000, (2, 50, 50))
    assert "bmm" in largest.op


def test_largest_temporary_sees_backward_and_ignores_what_it_is_told_to():
    """Tensors that backward creates count; shapes that the caller names do not."""
    x = torch.ones(30, requires_grad=True)

    with LargestTemporary(ignore_shapes=[x.shape]) as largest:
        (x * 2).sum().backward()

    assert largest.num_elements == 1
