"""Pretrained encoders and decoders for plugins, and a cache of expensive results.

The public names are listed in ``__init__.pyi``. Each name is imported on first use.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
