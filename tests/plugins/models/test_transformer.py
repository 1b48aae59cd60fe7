"""Tests that the attention of sequence models equals torch's own attention."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from robench_plugins.models.transformer import SelfAttention


def test_attention_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2), torch.randn(3, 5, 8)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    query, key, value = layer.inwards(x).reshape(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=~hidden)
    torch.testing.assert_close(layer(x, hidden), layer.outwards(wanted.transpose(1, 2).reshape(3, 5, 8)))
