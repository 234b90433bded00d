//! Where a broker listens, and what it tells its clients.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// `HOST:PORT`, of an address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// An IPv6 address is in brackets.
    host: String,
    port: u16,
}

impl Address {
    /// A free port on the loopback interface.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn free() -> Result<Self> {
        let any = Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        any.claim()
    }

    /// The address as it can be listened on now: a port 0 becomes one that is free.
    ///
    /// # Errors
    /// The port is taken, or the host is none of this machine's.
    pub(crate) fn claim(&self) -> Result<Self> {
        let listener = match TcpListener::bind(self.to_string()) {
            Ok(listener) => listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "{self} is taken: name another address with --listen, or stop what listens there"
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("listen on {self} (--listen)"));
            }
        };
        let port = listener.local_addr().context("find a free port")?.port();
        let host = self.host.clone();
        Ok(Self { host, port })
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let (host, port) = parts.context("it has the form HOST:PORT")?;
        let port = port.parse().context("the port is a number up to 65535")?;
        let number: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
        ensure!(
            !number.is_ok_and(|number| number.is_unspecified()),
            "clients are told this address, and {host} is none that they could reach"
        );
        let host = host.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_an_address() {
        for text in ["127.0.0.1:9092", "[::1]:9092", "localhost:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_and_what_clients_cannot_reach_is_refused() {
        for text in [
            "9092",
            ":9092",
            "host:",
            "host:70000",
            "0.0.0.0:9092",
            "[::]:9092",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = address.parse::<Address>().unwrap().claim().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{address} is taken: name another address with --listen, or stop what listens \
                 there"
            )
        );
    }

    #[test]
    fn port_0_becomes_one_that_is_free() {
        let address = Address::free().unwrap();
        assert!(address.port > 0);
        assert_eq!(address.claim().unwrap(), address);
    }
}
