"""The router's logic under a virtual clock: seeds of faults, delays and losses, and what must hold in all."""
