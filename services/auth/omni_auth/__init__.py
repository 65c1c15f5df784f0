"""Configuration, API keys and provider credentials: the control plane.

Owns the configuration file and its secrets, the key store, and the published snapshot. Never puts a secret into a
snapshot, a log or an error, and never sits on the request path except to say who a key is and what an account's
credential is.
"""
