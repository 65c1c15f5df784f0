"""What quota does: it shows, it tidies, and it looks after the accounts of providers."""
