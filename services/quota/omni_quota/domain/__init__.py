"""What quota knows of a configuration. Pure."""
