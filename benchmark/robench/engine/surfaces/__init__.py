"""The surfaces of a victim, one folder each.

In every folder ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. ε is enforced by
``budget.py`` of the folder, or for vectors by ``vector_budget.py``. The surface ``interactions`` has no folder, because
it is attacked before the fit: see ``engine/fit/poisoning.py``. A new surface is a new folder, a name in ``Surface`` and
a row in ``SURFACES``, both in ``robench.api.surfaces``.
"""
