//! The messages between the boot and its Node bridge, one JSON object per line. `scripts/image/bridge.mjs` is the other
//! end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request of the boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Read the snapshot file; the result is a [`Snapshot`](super::snapshot::Snapshot).
    ReadSnapshot,
    /// Install the system tables if there are none, run Directus' own migrations, and create the first administrator,
    /// in the open transaction; the result is [`Bootstrapped`].
    Bootstrap {
        /// Create an administrator from `ADMIN_EMAIL` and `ADMIN_PASSWORD` if there is none.
        admin: bool,
    },
    /// Compare the database with the snapshot; the result is a [`SchemaPlan`].
    Plan,
    /// Apply the last plan once, in the open transaction.
    Apply {
        /// The changes to leave out, by their index in the plan.
        skip: Vec<usize>,
    },
    /// Open a transaction, which all following requests are part of.
    Begin,
    /// Run SQL in the open transaction; the result is its rows, each value in PostgreSQL's text form.
    Query {
        /// One or more statements; the rows are those of the last one.
        sql: String,
    },
    /// Commit the open transaction; the result is a list of problems after the commit.
    Commit,
    /// Roll the open transaction back.
    Rollback,
}

/// A reply of the bridge; one per request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T> {
    /// The result of the request.
    Ok(T),
    /// The request failed, and Directus' transaction, if any, was rolled back.
    Error(Failure),
}

/// The result of [`Request::Bootstrap`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Bootstrapped {
    /// True if the system tables were created.
    pub installed: bool,
    /// The number of Directus' migrations that ran.
    pub migrated: usize,
    /// The result for the administrator.
    pub admin: Admin,
}

/// The result of bootstrap for the administrator, an active user with administrator's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admin {
    /// There was none, and one was created.
    Made,
    /// One existed already.
    Present,
    /// There is none, and none was requested.
    None,
}

/// The changes that an apply would make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchemaPlan {
    /// The version of this Directus.
    pub directus: String,
    /// The changes in Directus' order.
    pub changes: Vec<Change>,
    /// Differences that Directus cannot represent, which are left alone; one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One entity that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The kind of the entity.
    pub entity: Entity,
    /// The collection itself, or the collection of the entity.
    pub collection: String,
    /// The field, for fields and relations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The differences in `deep-diff`'s form.
    pub diff: Vec<Difference>,
}

impl Change {
    /// The name for messages: `laps`, `laps.speed`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.field {
            Some(field) => format!("{}.{field}", self.collection),
            None => self.collection.clone(),
        }
    }

    /// Returns true if the change deletes the entity as a whole.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.is_whole(DifferenceKind::Deleted)
    }

    /// Returns true if the entity as a whole has a difference of that kind.
    #[must_use]
    pub fn is_whole(&self, kind: DifferenceKind) -> bool {
        self.diff.iter().any(|difference| difference.kind == kind && difference.path.is_empty())
    }

    /// Returns true if a part of the entity has any difference other than an edit.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.diff.iter().any(|part| part.kind != DifferenceKind::Edited && !part.path.is_empty())
    }

    /// Returns true if the change creates the entity that `deleted` deletes.
    #[must_use]
    pub fn replaces(&self, deleted: &Change) -> bool {
        deleted.is_deletion()
            && self.is_whole(DifferenceKind::New)
            && (self.entity, &self.collection, &self.field) == (deleted.entity, &deleted.collection, &deleted.field)
    }
}

impl Difference {
    /// The path with dots: `schema.is_nullable`; empty for the entity as a whole.
    #[must_use]
    pub fn dotted(&self) -> String {
        let parts = self.path.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
        parts.collect::<Vec<_>>().join(".")
    }
}

/// The kind of a changed entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A collection, with or without a table.
    Collection,
    /// A field, with or without a column.
    Field,
    /// The index of a field in a system collection.
    SystemField,
    /// A relation between two collections.
    Relation,
}

/// One difference in the form of the library `deep-diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The JSON value is `N`, `D`, `E` or `A`.
    pub kind: DifferenceKind,
    /// The path inside the entity; empty for the entity as a whole.
    #[serde(default)]
    pub path: Vec<Value>,
    /// The value in the database.
    #[serde(default)]
    pub lhs: Value,
    /// The value in the snapshot.
    #[serde(default)]
    pub rhs: Value,
}

/// The kind of a difference; the letters are `deep-diff`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DifferenceKind {
    /// In the snapshot only.
    #[serde(rename = "N")]
    New,
    /// In the database only.
    #[serde(rename = "D")]
    Deleted,
    /// Different in both.
    #[serde(rename = "E")]
    Edited,
    /// An element of an array.
    #[serde(rename = "A")]
    Array,
}

/// The reason why the bridge could not carry out a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// Directus' or PostgreSQL's message, without the statement and its values.
    pub message: String,
    /// SQLSTATE or Directus' error code, if there is one.
    #[serde(default)]
    pub code: Option<String>,
}

impl Failure {
    /// Returns true if Directus' connection to PostgreSQL was lost.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        self.code.as_deref() == Some("connection-lost")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(_) if self.is_lost_connection() => write!(f, "Directus' connection: {}", self.message),
            Some(code) => write!(f, "{} ({code})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_form_that_the_bridge_reads() {
        let line = serde_json::to_string(&Request::Bootstrap { admin: true }).expect("a request serializes");
        assert_eq!(line, r#"{"do":"bootstrap","admin":true}"#);
    }

    #[test]
    fn a_plan_of_the_bridge_is_parsed() {
        let line = r#"{"ok":{"directus":"11.17.4","changes":[
            {"entity":"system-field","collection":"directus_users","field":"email","diff":[
                {"kind":"E","path":["schema","is_indexed"],"lhs":false,"rhs":true}]},
            {"entity":"collection","collection":"laps","diff":[{"kind":"D"}]}]}}"#;
        let Ok(Reply::Ok(plan)) = serde_json::from_str::<Reply<SchemaPlan>>(line) else { panic!("not a plan") };
        assert_eq!(plan.changes[0].entity, Entity::SystemField);
        assert_eq!(plan.changes[1].diff[0].kind, DifferenceKind::Deleted);
        assert!(plan.changes[1].diff[0].path.is_empty());
    }
}
