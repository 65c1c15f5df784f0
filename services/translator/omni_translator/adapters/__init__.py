"""What the translator says to the outside: its metrics."""
