"""The surfaces of a victim, one folder each.

In every folder ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. ``budget.py`` of the
folder enforces ε; ``vector_budget.py`` enforces it for vectors. The surface ``interactions`` has no folder, because it
is attacked before the fit: see ``poisoning.py`` and ``budget.py`` in ``engine/fit``. A new surface needs a folder here,
and a name in ``Surface`` and a row in ``SURFACES``, both in ``robench.api.surfaces``.
"""
