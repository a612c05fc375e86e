//! The choice of a stack's ports on this machine.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, bail};

use crate::engine::Engine;
use crate::{dotenv, ui};

/// A chosen port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port's number.
    pub number: u16,
    /// The default, if that is taken.
    pub instead_of: Option<u16>,
}

/// Chooses the port for a variable of the stack, as the user set it in the environment or in `.env`, and warns if it is
/// not the default.
pub async fn choose_free(engine: &Engine, variable: &str, default: u16) -> anyhow::Result<u16> {
    let published = engine.published_ports().await?;
    let requested = dotenv::variable(variable)?;
    let Port { number, instead_of } =
        choose(variable, requested.as_deref(), default, |port| is_free(port, &published))?;
    if let Some(taken) = instead_of {
        ui::warning(&format!("port {taken} is taken, using {number}; set {variable} to choose"));
    }
    Ok(number)
}

/// Chooses the port for a variable. A port that the user has set is used or refused; a taken default is replaced by the
/// next free port.
pub fn choose(
    variable: &str,
    requested: Option<&str>,
    default: u16,
    is_free: impl Fn(u16) -> bool,
) -> anyhow::Result<Port> {
    let wanted = match requested {
        Some(requested) => requested.parse().with_context(|| format!("{variable}={requested} is not a port number"))?,
        None => default,
    };
    let next = (wanted..=u16::MAX).find(|port| is_free(*port));
    match (requested, next) {
        (_, Some(number)) if number == wanted => Ok(Port { number, instead_of: None }),
        (None, Some(number)) => Ok(Port { number, instead_of: Some(default) }),
        (None, None) => bail!("no port from {default} upwards is free"),
        (Some(_), Some(next)) => {
            bail!("port {wanted} ({variable}) is taken; the next free one is {next}: set {variable}={next}")
        }
        (Some(_), None) => {
            bail!("port {wanted} ({variable}) is taken, and no higher one is free: set {variable} to a lower one")
        }
    }
}

/// Returns true if a port on loopback has no listener and no container publishes it: an engine without its proxy
/// process, or on another machine, shows no listener.
pub fn is_free(port: u16, published: &BTreeSet<u16>) -> bool {
    !published.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};

    use super::{Port, choose, is_free};

    #[test]
    fn the_default_is_used_when_it_is_free() {
        assert_eq!(choose("PORT", None, 8055, |_| true).unwrap(), Port { number: 8055, instead_of: None });
    }

    #[test]
    fn a_taken_default_is_replaced_by_the_next_free_port() {
        let port = choose("PORT", None, 8055, |port| port > 8057).unwrap();
        assert_eq!(port, Port { number: 8058, instead_of: Some(8055) });
    }

    #[test]
    fn a_taken_port_that_the_user_set_is_an_error_with_the_next_free_one() {
        let error = choose("PORT", Some("9000"), 8055, |port| port != 9000).unwrap_err();
        assert_eq!(error.to_string(), "port 9000 (PORT) is taken; the next free one is 9001: set PORT=9001");
    }

    #[test]
    fn a_set_port_that_is_not_a_port_number_is_an_error() {
        let error = choose("PORT", Some("99999"), 8055, |_| true).unwrap_err();
        assert_eq!(error.to_string(), "PORT=99999 is not a port number");
    }

    #[test]
    fn a_port_with_a_listener_or_published_by_a_container_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port, &BTreeSet::new()));
        drop(listener);
        assert!(is_free(port, &BTreeSet::new()));
        assert!(!is_free(port, &BTreeSet::from([port])));
    }
}
