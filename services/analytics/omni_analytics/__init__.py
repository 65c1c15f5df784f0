"""The usage ledger: consumes usage events, keeps every attempt and request once, and answers what was used by whom.

Owns ``usage.sqlite3`` (it is the only writer) and the durable consumer ``analytics``. Never sits on the request path,
never decides anything about a request, never acknowledges an event before it is on disk.
"""
