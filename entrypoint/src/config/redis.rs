//! The Redis that Directus uses for its bus, caches, locks and rate limits, from the variables that Directus reads.

use std::fmt;

use super::connection_string::decode;
use super::{Env, Problems};
use crate::secret::Secret;

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 6379;
/// Variables by which Directus uses Redis even if no variable names a server: ioredis then connects to localhost.
const STORES: [&str; 3] = ["CACHE_STORE", "RATE_LIMITER_STORE", "SYNCHRONIZATION_STORE"];

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server.
    pub address: RedisAddress,
    /// User and password; the user may be missing.
    pub credentials: Option<(Option<String>, Secret)>,
    /// Connections are encrypted.
    pub is_encrypted: bool,
}

/// The place of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// Host and port.
    Tcp(String, u16),
    /// The path of a UNIX socket.
    Socket(String),
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisAddress::Tcp(host, port) => write!(f, "{host}:{port}"),
            RedisAddress::Socket(path) => f.write_str(path),
        }
    }
}

impl RedisConfig {
    /// Reads the variables as Directus' `redisConfigAvailable` and ioredis' `parseURL` do; `None` if Directus uses no
    /// Redis, or finds it through sentinels, which the boot does not query.
    pub(super) fn from_env(env: &Env, problems: &mut Problems) -> Option<RedisConfig> {
        let is_named = env.is_set("REDIS") || env.names().any(|name| name.starts_with("REDIS_"));
        let is_enabled = env.plain("REDIS_ENABLED").map_or(is_named, |value| value == "true");
        let is_store = STORES.iter().any(|store| env.plain(store) == Some("redis"));
        if !(is_enabled || is_store) || env.is_set("REDIS_SENTINELS") {
            return None;
        }
        if let Some(url) = env.get("REDIS", problems) {
            return RedisConfig::from_url(&url).map_err(|problem| problems.add(format!("REDIS {problem}"))).ok();
        }
        let host = env.get("REDIS_HOST", problems).unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let port = match env.get("REDIS_PORT", problems).map(|port| (port.parse(), port)) {
            None => DEFAULT_PORT,
            Some((Ok(port), _)) => port,
            Some((Err(_), port)) => {
                problems.add(format!("REDIS_PORT is `{port}`: give a port"));
                return None;
            }
        };
        let password = env.get("REDIS_PASSWORD", problems);
        let user = env.get("REDIS_USERNAME", problems);
        Some(RedisConfig {
            address: match env.get("REDIS_PATH", problems) {
                Some(path) => RedisAddress::Socket(path),
                None => RedisAddress::Tcp(host, port),
            },
            credentials: password.map(|password| (user, Secret::new(password))),
            is_encrypted: env.names().any(|name| name.starts_with("REDIS_TLS")),
        })
    }

    /// Reads `redis://user:password@host:6379/0`, `rediss://…`, `host:6379`, `6379` or `/path/of/a/socket`.
    fn from_url(url: &str) -> Result<RedisConfig, &'static str> {
        if url.starts_with('/') {
            let address = RedisAddress::Socket(url.to_owned());
            return Ok(RedisConfig { address, credentials: None, is_encrypted: false });
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
        if !matches!(scheme, "redis" | "rediss") {
            return Err("is not a redis:// URL: write redis://user:password@host:6379");
        }
        let server = rest.split(['/', '?']).next().unwrap_or(rest);
        let (credentials, server) = match server.rsplit_once('@') {
            Some((userinfo, server)) => (Some(userinfo.split_once(':').unwrap_or((userinfo, ""))), server),
            None => (None, server),
        };
        let (host, port) = match server.parse::<u16>() {
            Ok(port) => (DEFAULT_HOST, port),
            Err(_) => match server.rsplit_once(':').filter(|_| !server.ends_with(']')) {
                Some((host, port)) => (host, port.parse().map_err(|_| "has a port that is not a number: correct it")?),
                None => (server, DEFAULT_PORT),
            },
        };
        let host = host.trim_matches(['[', ']']);
        let credentials = match credentials {
            Some((user, password)) => {
                let [user, password] = [user, password].map(|part| decode(part).unwrap_or_else(|_| part.to_owned()));
                Some((Some(user).filter(|user| !user.is_empty()), Secret::new(password)))
            }
            None => None,
        };
        let host = if host.is_empty() { DEFAULT_HOST } else { host };
        Ok(RedisConfig {
            address: RedisAddress::Tcp(host.to_owned(), port),
            credentials,
            is_encrypted: scheme == "rediss",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<RedisConfig> {
        let mut problems = Problems::default();
        let config = RedisConfig::from_env(&Env::of(variables), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        config
    }

    fn address(variables: &[(&str, &str)]) -> Option<String> {
        read(variables).map(|config| config.address.to_string())
    }

    #[test]
    fn redis_is_used_if_a_variable_names_it_or_a_store_needs_it() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("CACHE_STORE", "memory")], None),
            (&[("CACHE_STORE", "redis")], Some("localhost:6379")),
            (&[("REDIS", "redis://cache")], Some("cache:6379")),
            (&[("REDIS_HOST", "cache"), ("REDIS_PORT", "6380")], Some("cache:6380")),
            (&[("REDIS_HOST", "cache"), ("REDIS_ENABLED", "false")], None),
            (&[("REDIS_SENTINELS", "[{\"host\":\"s\"}]"), ("REDIS_NAME", "main")], None),
            (&[("REDIS_PATH", "/run/redis.sock")], Some("/run/redis.sock")),
        ] {
            assert_eq!(address(variables).as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn urls_are_read_as_ioredis_reads_them() {
        for (url, expected) in [
            ("redis://cache", "cache:6379"),
            ("redis://cache:6380/2", "cache:6380"),
            ("redis://:p%40ss@cache:6380?family=6", "cache:6380"),
            ("rediss://user:pass@cache", "cache:6379"),
            ("redis://[::1]:6380", "::1:6380"),
            ("redis://[::1]", "::1:6379"),
            ("cache:6380", "cache:6380"),
            ("6380", "localhost:6380"),
            ("/run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(address(&[("REDIS", url)]).as_deref(), Some(expected), "{url}");
        }
        let config = read(&[("REDIS", "redis://u:p%40ss@cache")]).expect("a server");
        assert_eq!(config.credentials, Some((Some("u".to_owned()), Secret::new("p@ss".to_owned()))));
        assert!(read(&[("REDIS", "rediss://cache")]).is_some_and(|config| config.is_encrypted));
    }

    #[test]
    fn bad_values_are_problems_that_quote_no_secret() {
        for (name, value, expected) in [
            ("REDIS", "http://:hunter2@cache", "REDIS is not a redis:// URL"),
            ("REDIS", "redis://:hunter2@cache:port", "REDIS has a port that is not a number"),
            ("REDIS_PORT", "first", "REDIS_PORT is `first`: give a port"),
        ] {
            let mut problems = Problems::default();
            assert_eq!(RedisConfig::from_env(&Env::of(&[(name, value)]), &mut problems), None);
            let text = problems.to_string();
            assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
        }
    }
}
