//! The programs, as processes, against a broker.

#[cfg(test)]
mod measuring;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod process;
#[cfg(test)]
mod providing;
#[cfg(test)]
mod querying;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod tensors;
