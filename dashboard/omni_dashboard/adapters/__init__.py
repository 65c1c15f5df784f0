"""What is read from outside this package's code."""
