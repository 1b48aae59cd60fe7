"""The names that a plugin author needs; ``__init__.pyi`` lists them.

From robench, plugins import only this package, its modules and ``robench.pretrained``. A name is imported when it is
first used, so listing plugins never imports torch.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
