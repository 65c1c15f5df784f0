"""The router: plans where a request can go, tries the candidates in order and answers from the first that works.

Owns the life of a request between the edge and a provider, its settlement and its events. Never reads the
configuration file, keeps a credential longer than a minute, or writes a Redis key itself (``omni_ledger`` does).
"""
