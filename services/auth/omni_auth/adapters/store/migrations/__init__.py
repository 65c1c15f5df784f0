"""How an old database becomes one of today. See README.md here before adding a revision."""
