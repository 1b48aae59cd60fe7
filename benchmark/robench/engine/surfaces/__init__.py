"""Measures victims under attacks at test time, with one folder per surface.

In every folder, ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. The folder's
``budget.py`` enforces ε on edits, and the shared ``vector_budget.py`` enforces ε on a δ on vectors. The surface
``interactions`` has no folder, because attacks on this surface act before the fit. ``poisoning.py`` and
``poisoning_budget.py`` in ``engine/fit`` run these attacks. A new surface needs a folder here, a name in
``robench.api.surfaces.Surface``, and a row in ``robench.api.surfaces.SURFACES``.
"""
