//! The actor strategy: an actor per data type, behind one entry.
