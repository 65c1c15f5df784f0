"""The rim: SQLite, files, NATS and metrics."""
