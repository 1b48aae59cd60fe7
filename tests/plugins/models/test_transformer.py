"""Tests the attention and the blocks of transformers.

The attention must equal torch's own. A block at one position must equal this position of the whole block.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from robench.api.models.sequence import SequenceModel
from robench.api.rng import Rng
from robench.testing.worlds import crowd
from robench_plugins.models.sasrec import SasRec
from robench_plugins.models.transformer import PreNormBlock, SelfAttention


def test_attention_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2), torch.randn(3, 5, 8)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    query, key, value = layer.inwards(x).reshape(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=~hidden)
    torch.testing.assert_close(layer(x, hidden), layer.outwards(wanted.transpose(1, 2).reshape(3, 5, 8)))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_block_at_one_position_equals_the_whole_causal_block_with_gradients(heads):
    torch.manual_seed(heads)
    block, position = PreNormBlock(8, heads, dropout=0.0).double(), torch.tensor([0, 2, 6, 3, 6])
    x = torch.randn(5, 7, 8, dtype=torch.float64, requires_grad=True)
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    whole, own = block(x, hidden)[torch.arange(5), position], block.at(x, position)
    torch.testing.assert_close(own, whole, rtol=0, atol=1e-14)
    weights = torch.randn_like(own)
    slopes = [torch.autograd.grad((part * weights).sum(), x)[0] for part in (own, whole)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-14)
    later = torch.arange(7) > position[:, None]
    assert not slopes[0][later].any(), "no position sees later positions"


def test_sasrec_in_training_mode_draws_the_dropout_of_all_positions():
    data, _ = crowd(n_users=12)
    model = SasRec.make(dropout=0.5)
    model.initialise(data, Rng(0))
    batch = model.train().queries(np.arange(12), data.train)
    states = []
    for computed in (model.last_states, lambda *path: SequenceModel.last_states(model, *path)):
        with Rng(3).stream():
            states.append(computed(batch, model.embed(batch)))
    assert torch.equal(*states)
