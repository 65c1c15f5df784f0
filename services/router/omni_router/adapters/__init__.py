"""The router's outside: providers over HTTP, events as protobuf."""
