"""What there is to route to: providers, accounts, models, prices, combos, key policies; and how a model id resolves.

Pure values and functions over a configuration snapshot. Never reads a file, a clock or a secret.
"""
