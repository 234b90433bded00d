//! Sources, readers, sinks and administration against a real broker: the embedded one, or the one
//! that `SUITE_BROKERS` names for those tests that do not restart it.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod topics;
