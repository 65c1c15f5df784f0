"""Clients in Python: a function each, ``(Door, Job) -> list[Turn]``, raising what its SDK raises."""
