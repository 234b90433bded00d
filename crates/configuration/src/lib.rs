//! Typed settings from defaults, a file, the environment and flags.
