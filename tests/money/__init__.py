"""Money in figures: that no cap is passed and nothing is lost or counted twice, whatever is killed (``make money``)."""
