"""Logging in at providers and staying logged in: ``flows`` begins and ends logins, ``renewing`` keeps them alive.

Owns the only way to a provider's tokens. Never gives out a token before the refresh token that came with it is kept.
"""
