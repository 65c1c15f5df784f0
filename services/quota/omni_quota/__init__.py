"""Limits as they stand, and the tidying the ledger needs: reservations nobody settled, outboxes nobody drains.

Owns no state of its own: what it shows and tidies is in Redis, through ``omni_ledger``; what the limits are comes from
the configuration snapshot. Any number of replicas may run: every step it takes is atomic and repeatable. Must never be
on the request path, write a Redis key itself, or give a reservation back that cannot be proved unspent.
"""
