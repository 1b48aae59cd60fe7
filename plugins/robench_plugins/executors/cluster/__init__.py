"""Measures victims on a dask cluster. The executor ``dask`` uses it.

``start.py`` starts a local cluster or joins one. ``dispatch.py`` works in the client: it submits a dask task per
victim, and passes on the events. ``station.py`` works in a dask worker: it starts the victim in a subprocess, and sends
its events. ``mailbox.py`` holds their messages, ``files.py`` brings the files that a worker lacks, and ``versions.py``
collects what must be the same on both sides.
"""
