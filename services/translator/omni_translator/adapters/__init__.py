"""What the translator says to the outside: its metrics, its spans, its vault in Redis."""
