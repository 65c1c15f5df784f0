"""Bytes on the wire, without I/O: formats, framers, the usage tap and the error tree.

Owns what a wire format *is* to the rest of the gateway. Never opens a socket, reads a clock or draws a random number.
"""
