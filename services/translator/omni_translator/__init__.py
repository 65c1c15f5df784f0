"""The translator: between wire formats, through one canonical model.

Owns the codecs, what they declare lost, and the reasoning vault (Redis ``vault:*``). Must never open a connection, keep
anything in memory between two calls but counters, make up what a provider did not say (a finish reason, a signature, a
usage), or lose anything without declaring it.
"""
