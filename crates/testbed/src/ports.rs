//! Which ports on this machine a stack gets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, bail};

/// A port that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The default, when that was taken by somebody else.
    pub instead_of: Option<u16>,
}

/// Chooses the port for a variable. What the user has set is a wish to be met or refused; a default is only a
/// preference, and gives way to the next free port.
pub fn choose(variable: &str, wish: Option<&str>, default: u16, is_free: impl Fn(u16) -> bool) -> anyhow::Result<Port> {
    let next_after = |port: u16| (port.saturating_add(1)..=u16::MAX).find(|port| is_free(*port));
    if let Some(wish) = wish {
        let number: u16 = wish.parse().with_context(|| format!("{variable}={wish} is no port number"))?;
        if is_free(number) {
            return Ok(Port { number, instead_of: None });
        }
        match next_after(number) {
            Some(next) => {
                bail!("port {number} ({variable}) is taken; the next free one is {next}: set {variable}={next}")
            }
            None => bail!("port {number} ({variable}) is taken, and no higher one is free"),
        }
    }
    if is_free(default) {
        return Ok(Port { number: default, instead_of: None });
    }
    let number = next_after(default).with_context(|| format!("no port from {default} upwards is free"))?;
    Ok(Port { number, instead_of: Some(default) })
}

/// Whether a port on loopback is free: nobody listens there, and no container publishes it (an engine without its
/// proxy process, or on another machine, shows no listener).
pub fn is_free(port: u16, published: &BTreeSet<u16>) -> bool {
    !published.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};

    use super::{Port, choose, is_free};

    #[test]
    fn the_default_is_taken_when_it_is_free() {
        assert_eq!(choose("PORT", None, 8055, |_| true).unwrap(), Port { number: 8055, instead_of: None });
    }

    #[test]
    fn a_taken_default_gives_way_to_the_next_free_port() {
        let port = choose("PORT", None, 8055, |port| port > 8057).unwrap();
        assert_eq!(port, Port { number: 8058, instead_of: Some(8055) });
    }

    #[test]
    fn a_taken_port_that_the_user_set_is_an_error_with_the_next_free_one() {
        let error = choose("PORT", Some("9000"), 8055, |port| port != 9000).unwrap_err();
        assert_eq!(error.to_string(), "port 9000 (PORT) is taken; the next free one is 9001: set PORT=9001");
    }

    #[test]
    fn a_set_port_that_is_no_number_is_an_error() {
        let error = choose("PORT", Some("99999"), 8055, |_| true).unwrap_err();
        assert_eq!(error.to_string(), "PORT=99999 is no port number");
    }

    #[test]
    fn a_port_is_not_free_while_somebody_listens_or_a_container_publishes_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port, &BTreeSet::new()));
        drop(listener);
        assert!(is_free(port, &BTreeSet::new()));
        assert!(!is_free(port, &BTreeSet::from([port])));
    }
}
