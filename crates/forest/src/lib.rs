//! Compiled tree ensembles: layout and walk.
