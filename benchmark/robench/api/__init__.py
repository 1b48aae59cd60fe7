"""The names that a plugin author needs; ``__init__.pyi`` lists them.

Plugins import from this package, from its modules and from ``robench.pretrained``, and from nothing else of robench.
A name is imported when it is first used, so that listing plugins never imports torch.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
