"""The public API for plugin authors, as listed in ``__init__.pyi``.

A plugin may import this package, the modules in this package, and ``robench.pretrained``, but nothing else from
robench. Each name is imported on first use, so listing plugins never imports torch.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
