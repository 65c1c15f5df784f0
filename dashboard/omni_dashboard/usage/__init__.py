"""Questions about usage: what can be asked, by whom, and what is made of what analytics answers. No I/O of its own."""
