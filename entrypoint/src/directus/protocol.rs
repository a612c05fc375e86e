//! The messages between the boot and its Node bridge, one JSON object a line. `scripts/image/bridge.mjs` is the other
//! end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::snapshot::Snapshot;

/// What the boot asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Read the snapshot file; Directus is imported meanwhile.
    ReadSnapshot,
    /// Install the system tables if there are none, run Directus' own migrations, and create the first administrator, in
    /// the open transaction.
    Bootstrap {
        /// Whether an administrator is made from `ADMIN_EMAIL` and `ADMIN_PASSWORD` when there is none.
        admin: bool,
    },
    /// Compare the database with the snapshot.
    Plan,
    /// Carry out the plan that was compared last, once, in the open transaction.
    Apply,
    /// Open a transaction, which everything that follows is part of.
    Begin,
    /// Run SQL in the open transaction.
    Query {
        /// One or more statements; the last one's rows are the answer.
        sql: String,
    },
    /// Commit it.
    Commit,
    /// Roll it back.
    Rollback,
}

/// What the bridge answers; one reply a request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::ReadSnapshot`].
    Snapshot(Snapshot),
    /// To [`Request::Bootstrap`].
    Bootstrapped(Bootstrapped),
    /// To [`Request::Plan`].
    Plan(SchemaPlan),
    /// To [`Request::Apply`].
    Applied,
    /// To [`Request::Query`].
    Rows {
        /// The rows, each value as PostgreSQL writes it.
        rows: Vec<Vec<Option<String>>>,
    },
    /// To [`Request::Begin`], [`Request::Commit`] and [`Request::Rollback`].
    Done {
        /// Problems after a commit that was successful.
        #[serde(default)]
        warnings: Vec<String>,
    },
    /// To any: it failed, and Directus' transaction, if there was one, is rolled back.
    Error(Failure),
}

impl Reply {
    /// Its name on the wire, for messages about a wrong one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Reply::Snapshot(_) => "snapshot",
            Reply::Bootstrapped(_) => "bootstrapped",
            Reply::Plan(_) => "plan",
            Reply::Applied => "applied",
            Reply::Rows { .. } => "rows",
            Reply::Done { .. } => "done",
            Reply::Error(_) => "error",
        }
    }
}

/// What bootstrap did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Bootstrapped {
    /// Whether the system tables were made now.
    pub installed: bool,
    /// How many of Directus' migrations ran now.
    pub migrated: usize,
    /// Who administrates this Directus.
    pub admin: Admin,
}

/// What bootstrap found or did about an administrator: an active user with administrator's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admin {
    /// There was none, and one was made.
    Made,
    /// There is one already.
    Present,
    /// There is none, and none was asked for.
    None,
}

/// What an apply would change.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchemaPlan {
    /// The version of this Directus.
    pub directus: String,
    /// What would change, in Directus' order.
    pub changes: Vec<Change>,
    /// Differences that Directus cannot represent and that are left alone, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One entity that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What it is.
    pub entity: Entity,
    /// The collection that it is, or belongs to.
    pub collection: String,
    /// The field, for fields and relations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What about it, as `deep-diff` says it.
    pub diff: Vec<Difference>,
}

impl Change {
    /// `laps`, `laps.speed`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.field {
            Some(field) => format!("{}.{field}", self.collection),
            None => self.collection.clone(),
        }
    }

    /// Returns true if the entity as a whole is only in the database.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.is_whole(DifferenceKind::Deleted)
    }

    /// Returns true if the entity as a whole is new or deleted.
    #[must_use]
    pub fn is_whole(&self, kind: DifferenceKind) -> bool {
        self.diff.iter().any(|difference| difference.kind == kind && difference.path.is_empty())
    }

    /// Returns true if a part of the entity is anything but edited.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.diff.iter().any(|part| part.kind != DifferenceKind::Edited && !part.path.is_empty())
    }

    /// Returns true if it creates the entity that `deleted` deletes.
    #[must_use]
    pub fn replaces(&self, deleted: &Change) -> bool {
        deleted.is_deletion()
            && self.is_whole(DifferenceKind::New)
            && (self.entity, &self.collection, &self.field) == (deleted.entity, &deleted.collection, &deleted.field)
    }
}

impl Difference {
    /// Its path in one text: `schema.is_nullable`; empty for the entity as a whole.
    #[must_use]
    pub fn dotted(&self) -> String {
        let part = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        self.path.iter().map(part).collect::<Vec<_>>().join(".")
    }
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A collection.
    Collection,
    /// A field.
    Field,
    /// The index of a field of Directus' own.
    SystemField,
    /// A relation.
    Relation,
}

/// One difference, as the library `deep-diff` says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// New, deleted, edited, or changed inside an array.
    pub kind: DifferenceKind,
    /// Where in the entity; empty: the entity as a whole.
    #[serde(default)]
    pub path: Vec<Value>,
    /// What is in the database.
    #[serde(default)]
    pub lhs: Value,
    /// What the snapshot says.
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
    /// Different.
    #[serde(rename = "E")]
    Edited,
    /// An array's element.
    #[serde(rename = "A")]
    Array,
}

/// Why the bridge could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// Directus' or PostgreSQL's message, without the statement and its values.
    pub message: String,
    /// SQLSTATE or Directus' error code, where there is one.
    #[serde(default)]
    pub code: Option<String>,
}

impl Failure {
    /// Whether it is Directus' connection to PostgreSQL that ended.
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
    fn requests_are_what_the_bridge_reads() {
        let line = serde_json::to_string(&Request::Bootstrap { admin: true }).expect("plain data");
        assert_eq!(line, r#"{"do":"bootstrap","admin":true}"#);
    }

    #[test]
    fn a_plan_is_read_as_the_bridge_writes_it() {
        let line = r#"{"type":"plan","directus":"11.17.4","changes":[
            {"entity":"system-field","collection":"directus_users","field":"email","diff":[
                {"kind":"E","path":["schema","is_indexed"],"lhs":false,"rhs":true}]},
            {"entity":"collection","collection":"laps","diff":[{"kind":"D"}]}]}"#;
        let Ok(Reply::Plan(plan)) = serde_json::from_str(line) else { panic!("no plan") };
        assert_eq!(plan.changes[0].entity, Entity::SystemField);
        assert_eq!(plan.changes[1].diff[0].kind, DifferenceKind::Deleted);
        assert!(plan.changes[1].diff[0].path.is_empty());
    }
}
