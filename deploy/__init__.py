"""Starts and packages everything: the ``sentinel`` command, the supervisor, the embedded servers."""
