"""What was used, as values: rows of events, cells of the hourly rollup, and the rule that keeps both equal. Pure."""
