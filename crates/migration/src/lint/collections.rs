//! The tables of Directus, as the snapshot names them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use entrypoint::witness::TableName;
use serde::Deserialize;
use serde::de::IgnoredAny;
use testbed::schema::is_system;

/// The collections with a table, and their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collections(BTreeMap<String, BTreeSet<String>>);

impl Collections {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// Fails if the text is not a snapshot.
    pub fn parse(text: &str) -> anyhow::Result<Collections> {
        #[derive(Deserialize)]
        struct LintSnapshot {
            collections: Vec<LintCollection>,
            fields: Vec<LintField>,
        }
        #[derive(Deserialize)]
        struct LintCollection {
            collection: String,
            /// `None` for a folder of the menu, which has no table.
            schema: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct LintField {
            collection: String,
            field: String,
        }
        let snapshot: LintSnapshot = serde_saphyr::from_str(text).context("the snapshot cannot be read")?;
        let tables = snapshot.collections.into_iter().filter(|collection| collection.schema.is_some());
        let mut fields: BTreeMap<_, BTreeSet<_>> =
            tables.map(|collection| (collection.collection, BTreeSet::new())).collect();
        for field in snapshot.fields {
            if let Some(collection) = fields.get_mut(&field.collection) {
                collection.insert(field.field);
            }
        }
        Ok(Collections(fields))
    }

    /// Removes a collection.
    #[cfg(test)]
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Returns the fields of a collection by its table; `None` for other tables.
    pub(crate) fn fields(&self, table: &TableName) -> Option<&BTreeSet<String>> {
        self.0.get(&table.name).filter(|_| table.schema == "public")
    }

    /// Returns true for a table that Directus created: a collection or one of Directus' own.
    pub(crate) fn is_directus(&self, table: &TableName) -> bool {
        self.fields(table).is_some() || table.schema == "public" && is_system(&table.name)
    }

    /// Returns the tables of the collections that another snapshot lacks.
    pub(crate) fn not_in(&self, shipped: &Collections) -> impl Iterator<Item = TableName> {
        let new = self.0.keys().filter(|name| !shipped.0.contains_key(*name));
        new.map(|name| TableName { schema: "public".to_owned(), name: name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_with_a_table_are_read_with_their_fields() {
        let text = "collections:\n  - collection: laps\n    schema: {name: laps}\n  - collection: folder\n    schema: null\n\
                    fields:\n  - {collection: laps, field: id}\n  - {collection: folder, field: x}\n";
        let collections = Collections::parse(text).unwrap();
        let table = |name: &str| TableName { schema: "public".to_owned(), name: name.to_owned() };
        assert!(collections.fields(&table("laps")).unwrap().contains("id"));
        assert_eq!(collections.fields(&table("folder")), None);
        assert!(collections.is_directus(&table("directus_users")) && !collections.is_directus(&table("cars")));
        assert_eq!(collections.not_in(&Collections::default()).collect::<Vec<_>>(), [table("laps")]);
        assert!(Collections::parse("fields: []").is_err());
    }
}
