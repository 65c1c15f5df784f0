"""The router's work: ``router`` is the story of one request, ``attempt`` of one call to one account."""
