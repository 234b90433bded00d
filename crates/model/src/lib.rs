//! Records, scores, models of every format, and serving statistics.
