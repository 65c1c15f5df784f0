"""The HTTP surface: ``app`` dispatches, ``exchange`` carries one request to the router and back as raw ASGI, ``pages``
is the FastAPI app of everything that is not hot."""
