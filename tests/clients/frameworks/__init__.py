"""Frameworks over the Python SDKs, in an environment of their own (.venv-clients): a function each, as in ../python."""
