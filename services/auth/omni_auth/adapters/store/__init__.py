"""Auth's database: SQLite in the data directory, or PostgreSQL. Nobody else opens it, and nothing above the adapters
knows which it is."""
