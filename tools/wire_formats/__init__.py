"""What every pair of wire formats keeps, found by asking the codecs: ``docs/wire-formats.md``."""
