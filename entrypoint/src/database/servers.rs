//! The servers that run on a database, by the shared advisory locks that they hold (scripts/image/presence.mjs).
//!
//! The key of such a lock is the identity of the schema that the server's image describes, so images that describe the
//! same schema are equal here.

use std::fmt;

use serde::Serialize;
use tokio_postgres::Client;

use contract::SERVER_LOCK;

/// The beginning of a server's `application_name`, before the name of its image.
pub const SERVER_OF: &str = "server of ";

/// The servers of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageServers {
    /// The image, `version@revision`; none if this role may not see it.
    pub image: Option<String>,
    /// The identity of its schema.
    #[serde(skip)]
    pub id: u32,
    /// The server processes of PostgreSQL that hold their locks.
    pub pids: Vec<i32>,
}

impl fmt::Display for ImageServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImageServers { image, pids, .. } = self;
        let number = if let [_] = pids.as_slice() { "1 server".to_owned() } else { format!("{} servers", pids.len()) };
        let pids = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{number} of {} (pid {pids})", image.as_deref().unwrap_or("an unknown image"))
    }
}

/// The servers of several images in words, joined by "and".
#[must_use]
pub fn in_words(servers: &[ImageServers]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Reads the servers that run on this database, by image.
///
/// # Errors
/// The driver's.
pub async fn servers(client: &Client) -> Result<Vec<ImageServers>, tokio_postgres::Error> {
    let statement = format!(
        "select nullif(a.application_name, ''), l.objid::bigint, array_agg(l.pid order by l.pid)
         from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid::bigint = {SERVER_LOCK}
           and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
         group by 1, 2 order by 1, 2"
    );
    let rows = client.query(&statement, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let name: Option<String> = row.get(0);
            let image = name.map(|name| name.strip_prefix(SERVER_OF).unwrap_or(&name).to_owned());
            ImageServers { image, id: row.get::<_, i64>(1).try_into().unwrap_or_default(), pids: row.get(2) }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_counted_and_named() {
        let one = ImageServers { image: Some("1.2@abc".to_owned()), id: 1, pids: vec![7] };
        let two = ImageServers { image: None, id: 2, pids: vec![8, 9] };
        assert_eq!(in_words(&[one, two]), "1 server of 1.2@abc (pid 7) and 2 servers of an unknown image (pid 8, 9)");
    }
}
