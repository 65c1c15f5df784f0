"""What the edge knows, without I/O: which path speaks which dialect, what a head says, which keys it has seen."""
