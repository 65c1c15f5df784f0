"""The edge: the HTTP surface that clients of models speak to.

Owns the listener's manners: who is asking, how much they may send, the request id, every error rendered once in the
client's dialect, and noticing at once that a client has gone. Must never parse a body, call a provider, or decide
where a request goes: bodies pass untouched to the router, answers pass untouched back.
"""
