"""Logins at providers, without a line that talks to one: what to send, what an answer means, when it is time.

A flow is a generator that yields calls and is sent answers (``steps``), so that whoever drives it does the talking.
"""
