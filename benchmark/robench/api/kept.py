"""What is dear to make and depends on content alone, for plugins: made once per machine, kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.cache import Cache, default_folder


def kept(kind: str, content: Any, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The array of some content, made where it is not in the cache; processes that ask at once make it once.

    Args:
        kind: a name for the folder.
        content: everything that the array depends on, as JSON.
    """
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    arrays, _ = Cache(default_folder()).get(kind, key, lambda: ({"array": make()}, {}))
    return arrays["array"]
