"""Where the edge touches the outside on its own account: the published configuration."""
