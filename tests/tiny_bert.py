"""A BERT encoder for tests: two layers of 32 dims with random weights, made in a moment."""

import string
from pathlib import Path

import torch

WORDS = ["title", "genre", "the", "space", "wizard", "robot", "galaxy", "love", "kiss", "wedding", "heat", "night"]


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """The folder, with config, tokenizer and safetensors in it. Words that it does not know are read by letters."""
    from transformers import BertConfig, BertModel, BertTokenizerFast  # noqa: PLC0415  # seconds, for those who need it

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
        initializer_range=0.3,  # so large that texts with other words have quite other vectors
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
        model.embeddings.word_embeddings.weight.data *= 3  # words count for more than their places
        model.save_pretrained(folder)
    return folder
