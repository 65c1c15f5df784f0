"""The translator: between wire formats, through one canonical model.

Owns the codecs and what they declare lost. Must never open a connection, keep anything between two calls but counters,
make up what a provider did not say (a finish reason, a signature, a usage), or lose anything without declaring it.
"""
