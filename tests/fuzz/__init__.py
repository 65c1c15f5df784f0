"""Hostile bytes for every decoder. ``python -m tests.fuzz`` (``make fuzz``); a short form runs with the tests."""
