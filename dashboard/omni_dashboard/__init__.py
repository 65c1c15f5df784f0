"""The only management HTTP surface: ``/api/*`` and the web page, a thin gateway to other services.

Owns who may ask what over HTTP, and how it is shown. Never keeps state of its own beyond seconds, never touches a
database, never serves the model API.
"""
