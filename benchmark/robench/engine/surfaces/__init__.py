"""The surfaces of a victim, one folder each.

In every folder, ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. The folder's
``budget.py`` enforces ε. For δ on vectors, ``vector_budget.py`` enforces ε. The surface ``interactions`` has no folder,
because it is attacked before the fit: see ``poisoning.py`` and ``poisoning_budget.py`` in ``engine/fit``. A new surface
needs a folder here, a name in ``robench.api.surfaces.Surface``, and a row in ``robench.api.surfaces.SURFACES``.
"""
