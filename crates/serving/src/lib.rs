//! All that a strategy needs except the strategy.
