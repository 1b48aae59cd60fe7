"""Writes a BERT encoder for tests.

The encoder has two layers of 32 dimensions and random weights.
"""

import string
from pathlib import Path

import torch

WORDS = ["title", "genre", "the", "space", "wizard", "robot", "galaxy", "love", "kiss", "wedding", "heat", "night"]


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Writes config, tokenizer and weights of an encoder, and returns ``folder``.

    Words outside the vocabulary are read letter by letter.
    """
    from transformers import BertConfig, BertModel, BertTokenizerFast  # noqa: PLC0415  # it takes seconds to import

    letters = string.ascii_lowercase + string.digits + string.punctuation
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *letters, *(f"##{c}" for c in letters), *WORDS, "2000"]
    BertTokenizerFast(vocab={word: place for place, word in enumerate(vocabulary)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # large, so that texts with different words have different vectors
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
        model.embeddings.word_embeddings.weight.data *= 3  # makes words matter more than their positions
        model.save_pretrained(folder)
    return folder
