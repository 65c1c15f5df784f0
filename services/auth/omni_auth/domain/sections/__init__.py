"""The sections of the configuration: their keys, their defaults and what each key takes, a room a subject.

Input is the tree of ``document``: every scalar is the text that was written. ``schema`` puts them together.
"""
