"""TinyGPT is the model that its configuration describes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_env.gpt_config import GPT2_SMALL, GPTConfig
from course_env.tiny_gpt import TinyGPT

SMALL = GPTConfig(vocab_size=40, n_layer=3, n_head=4, d_model=16, max_seq=8)


def test_gpt2_has_its_published_size():
    """GPT-2 small has 124,439,808 parameters."""
    with torch.device("meta"):
        model = TinyGPT(GPT2_SMALL)

    assert 124_439_808 == sum(parameter.numel() for parameter in model.parameters())


def test_every_product_is_counted():
    """No operation hides in a fused kernel, so the counter sees every FLOP of the matrix products."""
    with FlopCounterMode(display=False) as counter:
        TinyGPT(SMALL)(torch.zeros(2, 8, dtype=torch.int64)).sum().backward()

    assert 1_019_904 == counter.get_total_flops()


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_no_position_sees_a_later_one(n_kv_head):
    """Changing a token changes the logits from there on, and none before."""
    model = TinyGPT(GPTConfig(vocab_size=40, n_layer=2, n_head=4, n_kv_head=n_kv_head, d_model=16, max_seq=8)).double()
    tokens = torch.randint(40, (2, 8))
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 40

    before, after = model(tokens), model(changed)

    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.isclose(before[:, 5:], after[:, 5:]).all(-1).any()


def test_shared_key_heads_are_those_of_their_neighbours():
    """Sharing a key head equals having as many key heads as query heads, each equal to its neighbour's."""
    shared = TinyGPT(GPTConfig(vocab_size=40, n_layer=1, n_head=4, n_kv_head=2, d_model=16, max_seq=8)).double()
    whole = TinyGPT(GPTConfig(vocab_size=40, n_layer=1, n_head=4, d_model=16, max_seq=8)).double()
    state = shared.state_dict()
    for name in ("blocks.0.attention.qkv.weight", "blocks.0.attention.qkv.bias"):
        q, k, v = state[name].split([16, 8, 8])
        heads = [part.unflatten(0, (2, 4)).repeat_interleave(2, dim=0).flatten(0, 1) for part in (k, v)]
        state[name] = torch.cat([q, *heads])
    whole.load_state_dict(state)
    tokens = torch.randint(40, (3, 8))

    torch.testing.assert_close(whole(tokens), shared(tokens))


def test_a_tied_head_is_the_embedding():
    """A tied head and the embedding are one tensor, with one gradient; an untied head is another."""
    tied, free = (
        TinyGPT(SMALL),
        TinyGPT(GPTConfig(vocab_size=40, n_layer=1, n_head=4, d_model=16, max_seq=8, tie_embeddings=False)),
    )

    assert tied.head.weight is tied.token_embedding.weight
    assert free.head.weight is not free.token_embedding.weight
