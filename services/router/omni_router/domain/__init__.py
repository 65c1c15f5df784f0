"""Pure decisions of the router: what a request asks, what it may cost, what an answer's bytes mean."""
