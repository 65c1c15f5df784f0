"""One module a revision, oldest first by number; never edited once released."""
