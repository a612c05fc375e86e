//! Values for the properties of collections, fields and relations, as users set them.

use serde_json::{Value, json};

use super::super::case::List;
use super::super::rng::Rng;

/// A property of `meta`, and possible values.
pub(super) struct Property {
    pub(super) key: &'static str,
    pub(super) values: fn() -> Vec<Value>,
}

const fn property(key: &'static str, values: fn() -> Vec<Value>) -> Property {
    Property { key, values }
}

fn translations() -> Vec<Value> {
    vec![
        Value::Null,
        json!([]),
        json!([{ "language": "en-US", "translation": "One" }]),
        json!([{ "language": "en-US", "translation": "Many", "singular": "Ä one", "plural": "it's \"many\"" }]),
        json!([{ "language": "en-US", "translation": "A" }, { "language": "sq-AL", "translation": "B", "plural": "C" }]),
    ]
}

fn flags() -> Vec<Value> {
    vec![json!(true), json!(false)]
}

fn filters() -> Vec<Value> {
    vec![
        Value::Null,
        json!({}),
        json!({ "_and": [{ "status": { "_eq": "draft" } }, { "sort": { "_null": true } }] }),
        json!([{ "name": "rule", "rule": { "_and": [] }, "hidden": true, "options": { "a": null } }]),
    ]
}

const COLLECTION: &[Property] = &[
    property("icon", || vec![Value::Null, json!("flag"), json!("")]),
    property("note", || {
        vec![Value::Null, json!(""), json!("a note: it's \"long\"\nwith lines"), json!("${VAR} {{x}}")]
    }),
    property("color", || vec![Value::Null, json!("#FFA439"), json!("var(--theme--primary)")]),
    property("display_template", || vec![Value::Null, json!("{{title}}"), json!("")]),
    property("hidden", flags),
    property("singleton", flags),
    property("versioning", flags),
    property("translations", translations),
    property("archive_field", || vec![Value::Null, json!("status"), json!("no_such_field")]),
    property("archive_value", || vec![Value::Null, json!("archived"), json!("true")]),
    property("unarchive_value", || vec![Value::Null, json!("draft"), json!("false")]),
    property("archive_app_filter", flags),
    property("sort_field", || vec![Value::Null, json!("sort"), json!("no_such_field")]),
    property("accountability", || vec![Value::Null, json!("all"), json!("activity")]),
    property("collapse", || vec![json!("open"), json!("closed"), json!("locked")]),
    property("group", || vec![Value::Null, json!("editorial"), json!("reference"), json!("articles")]),
    property("preview_url", || vec![Value::Null, json!("https://example.com/{{id}}?a=b&c")]),
    property("item_duplication_fields", || vec![Value::Null, json!([]), json!(["title", "translations.title"])]),
    property("sort", || vec![Value::Null, json!(1), json!(99)]),
];

const FIELD: &[Property] = &[
    property("note", || vec![Value::Null, json!("a note"), json!("")]),
    property("hidden", flags),
    property("readonly", flags),
    property("required", flags),
    property("searchable", flags),
    property("sort", || vec![Value::Null, json!(1), json!(77)]),
    property("width", || vec![json!("half"), json!("full"), json!("fill"), Value::Null]),
    property("interface", || vec![Value::Null, json!("input"), json!("select-dropdown"), json!("no-such-interface")]),
    property("options", || {
        vec![
            Value::Null,
            json!({}),
            json!({ "choices": [{ "text": "$t:a", "value": "b", "icon": null }] }),
            json!({ "trim": true }),
        ]
    }),
    property("display", || vec![Value::Null, json!("raw"), json!("datetime")]),
    property("display_options", || {
        vec![Value::Null, json!({ "relative": true }), json!({ "nested": { "deep": [1, null] } })]
    }),
    property("translations", translations),
    property("conditions", filters),
    property("validation", filters),
    property("validation_message", || vec![Value::Null, json!("No: it's wrong"), json!("")]),
    property("group", || vec![Value::Null, json!("seo"), json!("no_such_group")]),
    property("special", || {
        vec![Value::Null, json!([]), json!(["date-created"]), json!(["cast-json"]), json!(["uuid"]), json!("m2o")]
    }),
];

const RELATION: &[Property] = &[
    property("one_field", || vec![Value::Null, json!("articles"), json!("a_new_alias")]),
    property("sort_field", || vec![Value::Null, json!("sort"), json!("id")]),
    property("one_deselect_action", || vec![json!("nullify"), json!("delete")]),
    property("junction_field", || vec![Value::Null, json!("articles_id"), json!("id")]),
    property("one_allowed_collections", || vec![Value::Null, json!(["block_text"]), json!("block_text,block_quote")]),
    property("one_collection_field", || vec![Value::Null, json!("collection")]),
];

/// Returns a random property of `meta` for entries of a list, with a value.
pub(super) fn meta(rng: &mut Rng, list: List) -> (&'static str, Value) {
    let properties = match list {
        List::Collections => COLLECTION,
        List::Relations => RELATION,
        List::Fields | List::SystemFields => FIELD,
    };
    let property = rng.pick(properties);
    (property.key, rng.pick(&(property.values)()).clone())
}

/// Directus' types with the PostgreSQL types that it creates for them.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("string", "character varying"),
    ("text", "text"),
    ("integer", "integer"),
    ("bigInteger", "bigint"),
    ("float", "real"),
    ("decimal", "numeric"),
    ("boolean", "boolean"),
    ("timestamp", "timestamp with time zone"),
    ("dateTime", "timestamp without time zone"),
    ("date", "date"),
    ("time", "time without time zone"),
    ("json", "json"),
    ("uuid", "uuid"),
    ("csv", "text"),
    ("hash", "character varying"),
];

/// Returns a random `schema.default_value` for a type.
pub(super) fn default(rng: &mut Rng, kind: &str) -> Value {
    let values = match kind {
        "integer" | "bigInteger" => vec![json!(0), json!(-7), json!("42"), Value::Null],
        "float" | "decimal" => vec![json!(0.5), json!(3), json!("1.25"), Value::Null],
        "boolean" => vec![json!(true), json!(false), Value::Null],
        "timestamp" | "dateTime" | "date" => {
            vec![json!("CURRENT_TIMESTAMP"), json!("2026-01-01"), json!("now()"), Value::Null]
        }
        "time" => vec![json!("10:00:00"), Value::Null],
        "json" => vec![json!({ "a": [1, "it's"] }), json!([]), json!("{\"a\": \"b\"}"), Value::Null],
        "uuid" => vec![json!("gen_random_uuid()"), json!("6f2f2c7e-5a0e-4b9f-8f63-1f8f8f8f8f8f"), Value::Null],
        _ => vec![
            json!("plain"),
            json!("it's"),
            json!("it''s"),
            json!("a::b"),
            json!("now()"),
            json!(""),
            json!("NULL"),
            json!("what?"),
            Value::Null,
        ],
    };
    rng.pick(&values).clone()
}
