"""Conformance classes, from which plugin authors derive their pytest tests.

The whole test of a plugin is::

    class TestMine(EmbeddingAttackTests):
        attack = Mine

``__init__.pyi`` lists the public names. A name is imported when it is first used.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
