"""Measures victims on a dask cluster, for the executor ``dask``.

``start.py`` starts a local cluster or joins a running one. ``dispatch.py`` works in the client. It submits one dask
task per victim, and passes on the events. ``station.py`` works in a dask worker. It starts the victim in a subprocess,
and sends the events of the victim. ``mailbox.py`` defines the messages between client and worker. ``files.py`` brings
the files that a worker lacks. ``versions.py`` collects the versions that the client and the workers must share.
"""
