"""Translation itself: the canonical model, its events, and a codec for every wire format. Pure and sans-IO."""
