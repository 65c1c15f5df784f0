"""The tests. Run them from the root of the project: `make test`."""
