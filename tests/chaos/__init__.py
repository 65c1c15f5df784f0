"""The fault wall: every way in which a provider fails, before every client dialect, over one running gateway."""
