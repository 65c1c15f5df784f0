"""Foreign clients against the whole gateway: the vendors' SDKs and the frameworks over them, in Python and JavaScript.

    jobs.py         what a client is told to do, and what it reports: plain data, so that a client may be any program
    scenarios.py    the nine columns of the matrix: jobs, and what a client must then have understood
    upstreams.py    the rows: one provider a wire format, and what its format can say at all
    python/         clients in Python;  js/  clients in JavaScript (worker.mjs, run by node)
    frameworks/     frameworks over the SDKs in Python, run by environments of their own
    clients.py      the table of clients, and how each is started
    matrix.py       `make matrix`: every cell, a JSON line each, and docs/client-matrix.md
    cli/            `make clients`: real command-line agents writing a file through the gateway

Clients share no code with the gateway. A client only drives its SDK and repeats what the SDK understood; every
judgement is in scenarios.py.
"""
