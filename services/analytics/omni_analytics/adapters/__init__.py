"""SQLite, the bus, protobuf and Prometheus, each behind its port."""
