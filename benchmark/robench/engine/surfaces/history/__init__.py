"""The surface ``history``: the list of interactions of every user is edited."""
