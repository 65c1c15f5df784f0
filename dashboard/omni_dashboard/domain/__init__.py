"""What people type and read: times, money, roles. Pure."""
