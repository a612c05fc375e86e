//! A snapshot of Directus, as far as the page shows it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Collections, fields and relations, in the order of the admin UI.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct DocumentedSchema {
    pub(crate) collections: Vec<DocumentedCollection>,
    pub(crate) fields: Vec<DocumentedField>,
    pub(crate) relations: Vec<DocumentedRelation>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DocumentedCollection {
    #[serde(rename = "collection")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) meta: CollectionSettings,
    /// `None` for a folder, which has no table.
    pub(crate) schema: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CollectionSettings {
    pub(crate) note: Option<String>,
    /// The folder, or another collection that this one is shown below.
    pub(crate) group: Option<String>,
    pub(crate) color: Option<String>,
    pub(crate) sort: Option<i64>,
    pub(crate) singleton: bool,
    pub(crate) archive_field: Option<String>,
    pub(crate) archive_value: Option<String>,
    pub(crate) sort_field: Option<String>,
    pub(crate) translations: Option<Vec<DocumentedName>>,
}

/// A name in a language.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DocumentedName {
    pub(crate) language: String,
    pub(crate) translation: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DocumentedField {
    pub(crate) collection: String,
    #[serde(rename = "field")]
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) meta: FieldSettings,
    /// `None` for a field without a column: a list of related items, or a part of the form.
    pub(crate) schema: Option<DocumentedColumn>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldSettings {
    pub(crate) note: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) required: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) readonly: bool,
    pub(crate) sort: Option<i64>,
    /// The part of the form that has this field in it.
    pub(crate) group: Option<String>,
    pub(crate) special: Option<Vec<String>>,
    pub(crate) options: Option<Value>,
    pub(crate) translations: Option<Vec<DocumentedName>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DocumentedColumn {
    pub(crate) max_length: Option<i64>,
    #[serde(default)]
    pub(crate) default_value: Value,
    #[serde(default)]
    pub(crate) is_nullable: bool,
    #[serde(default)]
    pub(crate) is_unique: bool,
    #[serde(default)]
    pub(crate) is_indexed: bool,
    #[serde(default)]
    pub(crate) is_primary_key: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DocumentedRelation {
    pub(crate) collection: String,
    pub(crate) field: String,
    /// `None` if items of several collections can be related.
    pub(crate) related_collection: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) meta: RelationSettings,
    pub(crate) schema: Option<RelationKey>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RelationSettings {
    /// The field of the related collection that lists these items.
    pub(crate) one_field: Option<String>,
    pub(crate) one_allowed_collections: Option<Vec<String>>,
    /// The other end of a table between two collections.
    pub(crate) junction_field: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelationKey {
    pub(crate) on_delete: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl DocumentedSchema {
    /// Reads the snapshot of the checkout.
    pub(crate) fn read(path: &camino::Utf8Path) -> anyhow::Result<DocumentedSchema> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
        DocumentedSchema::parse(&text).with_context(|| {
            format!("{path} is not a snapshot: `cargo xtask snapshot` saves that of the running stack")
        })
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<DocumentedSchema> {
        let mut schema: DocumentedSchema = serde_saphyr::from_str(text)?;
        // As in the admin UI: those without a place come last, by name.
        schema.collections.sort_by_key(|item| (item.meta.sort.unwrap_or(i64::MAX), item.name.clone()));
        let places: Vec<_> = schema.fields.iter().map(|field| schema.place(field)).collect();
        let mut fields: Vec<_> = places.into_iter().zip(std::mem::take(&mut schema.fields)).collect();
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        schema.fields = fields.into_iter().map(|(_, field)| field).collect();
        schema.relations.sort_by_key(|item| (item.collection.clone(), item.field.clone()));
        Ok(schema)
    }

    /// The place of a field in its collection: the key first, then the order of the form. A field of a group comes after
    /// the group.
    fn place(&self, field: &DocumentedField) -> (bool, Vec<(i64, String)>) {
        let mut path = Vec::new();
        let mut next = Some(field);
        while let Some(field) = next.filter(|_| path.len() <= self.fields.len()) {
            path.insert(0, (field.meta.sort.unwrap_or(i64::MAX), field.name.clone()));
            let group = field.meta.group.as_deref();
            next = self.fields_of(&field.collection).find(|other| Some(other.name.as_str()) == group);
        }
        (!field.schema.as_ref().is_some_and(|column| column.is_primary_key), path)
    }

    /// The folders and collections below another one; `None` is the top level, where those of an unknown folder are, too.
    pub(crate) fn below(&self, group: Option<&str>) -> impl Iterator<Item = &DocumentedCollection> {
        let known = |name: &&str| self.collections.iter().any(|item| item.name == *name);
        self.collections.iter().filter(move |item| item.meta.group.as_deref().filter(known) == group)
    }

    /// The fields of a collection.
    pub(crate) fn fields_of(&self, collection: &str) -> impl Iterator<Item = &DocumentedField> {
        self.fields.iter().filter(move |field| field.collection == collection)
    }

    /// The collections with fields that are not in the snapshot themselves: those of Directus that were extended.
    pub(crate) fn extended(&self) -> BTreeSet<&str> {
        let fields = self.fields.iter().map(|field| field.collection.as_str());
        fields.filter(|name| !self.collections.iter().any(|item| item.name == *name)).collect()
    }

    /// The relation of a field that refers to other items.
    pub(crate) fn relation_of(&self, field: &DocumentedField) -> Option<&DocumentedRelation> {
        self.relations.iter().find(|relation| relation.collection == field.collection && relation.field == field.name)
    }

    /// The relation whose items a field lists.
    pub(crate) fn listed_by(&self, field: &DocumentedField) -> Option<&DocumentedRelation> {
        self.relations.iter().find(|relation| {
            relation.related_collection.as_deref() == Some(&field.collection)
                && relation.meta.one_field.as_deref() == Some(&field.name)
        })
    }

    /// The relations that refer to a collection.
    pub(crate) fn referring_to<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = &'a DocumentedRelation> {
        self.relations.iter().filter(move |relation| relation.related_collection.as_deref() == Some(collection))
    }
}

impl DocumentedRelation {
    /// The effect on the referring items of the deletion of an item, in words: `restrict`.
    pub(crate) fn on_delete(&self) -> Option<String> {
        let on_delete = self.schema.as_ref()?.on_delete.as_deref()?;
        Some(on_delete.to_lowercase())
    }

    /// The collections that it can refer to.
    pub(crate) fn targets(&self) -> Vec<&str> {
        let several = self.meta.one_allowed_collections.iter().flatten().map(String::as_str);
        self.related_collection.as_deref().into_iter().chain(several).collect()
    }
}

impl DocumentedColumn {
    /// Returns true if the database refuses an item without a value, and has no default for it.
    pub(crate) fn must_be_set(&self) -> bool {
        !self.is_nullable && self.default_value.is_null()
    }
}
