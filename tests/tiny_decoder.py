"""Writes decoders for tests.

A decoder has two layers of 64 dimensions, random weights, and bytes as tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

MARK = "<|mark|>"
MERGED = "qx"  # a GGUF file must hold a merge
TOKENS = 258  # bytes, the pair and one special token


def _bytes() -> dict[str, int]:
    from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415

    return {char: place for place, char in enumerate([*sorted(ByteLevel.alphabet()), MERGED])}


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the BPE merges that turn a space and a word into one token.

    The merges add one letter at a time.
    """
    heads = ["\u0120", *(f"\u0120{word}" for word in words)]  # a space, as byte-level tokenizers write it
    return [(MERGED[0], MERGED[1]), *dict.fromkeys((w[:at], w[at]) for w in heads for at in range(1, len(w)))]


def _network(kind: str, tokens: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415  # it takes seconds to import

    if kind == "gpt2":  # GPT-2 computes in double precision throughout, but Llama's norms do not
        config = GPT2Config(
            vocab_size=tokens, n_embd=64, n_layer=2, n_head=4, n_positions=512, initializer_range=0.1, bos_token_id=0,
            eos_token_id=0,
        )  # fmt: skip
        return GPT2LMHeadModel(config)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokens,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.1,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    )


def tiny_decoder(folder: Path, kind: str = "llama", seed: int = 0, words: Sequence[str] = ()) -> Path:
    """Writes config, tokenizer and weights of a decoder, and returns ``folder``.

    After a space, each of ``words`` is one token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    vocabulary, merges = _bytes(), _merges(words)
    for pair in merges:
        vocabulary.setdefault("".join(pair), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=MARK).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _network(kind, len(vocabulary) + 1).save_pretrained(folder)
    return folder


def tiny_gguf(file: Path, folder: Path) -> Path:
    """Writes the weights of the Llama in ``folder`` to a GGUF file.

    The function returns the path of the file.
    """
    from gguf import GGUFWriter  # noqa: PLC0415
    from transformers import LlamaForCausalLM  # noqa: PLC0415

    net = LlamaForCausalLM.from_pretrained(folder)
    c, vocabulary = net.config, _bytes()
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*vocabulary, MARK])
    writer.add_token_types([1] * len(vocabulary) + [3])
    writer.add_token_merges([" ".join(MERGED)])
    writer.add_eos_token_id(TOKENS - 1)
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for layer in range(c.num_hidden_layers):
        names |= {f"model.layers.{layer}.{old}.weight": f"blk.{layer}.{new}.weight" for old, new in parts.items()}
    weights = net.state_dict()
    for old, new in names.items():
        writer.add_tensor(new, np.ascontiguousarray(weights[old].float().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
