"""The laws every codec keeps, and golden conversions between formats."""
