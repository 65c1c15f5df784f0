"""Real command-line agents against the whole gateway: each writes a file that a simulated model tells it to write.

agents.py   the table: package, version, and how each is pointed at a gateway and run without a person
run.py      `make clients`: a JSON line an agent and upstream format
"""
