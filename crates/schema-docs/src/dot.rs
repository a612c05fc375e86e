//! The diagram in Graphviz's language: every column, in boxes grouped by the folders of the admin UI.

use crate::field::title;
use crate::objects::{RecordedObject, RecordedObjects};
use crate::snapshot::{DocumentedCollection, DocumentedField, DocumentedRelation, DocumentedSchema};
use std::collections::BTreeSet;

/// Colour of the heads of collections that have none, and of tables that Directus does not see.
const COLOR: &str = "#6644FF";
const SQL_COLOR: &str = "#4F5464";
/// The place of a box's head, and the end of the name of a row's right side: edges leave there.
const HEAD: &str = "(head)";
const RIGHT: &str = "(right)";

/// The text of the diagram.
pub(crate) fn diagram(schema: &DocumentedSchema, recorded: &RecordedObjects) -> String {
    let font = "fontname=\"Helvetica\"";
    let mut text = format!(
        "digraph {{\n  graph [rankdir=LR bgcolor=white pad=0.3 nodesep=0.35 ranksep=1.3 {font} fontsize=15 fontcolor=\"#4F5464\"]\n  \
         node [shape=plain {font} fontsize=11]\n  \
         edge [dir=both arrowhead=crow arrowtail=tee color=\"#8A90A0\" penwidth=1.2 arrowsize=0.8]\n"
    );
    for item in schema.below(None) {
        collection(&mut text, schema, item, 1);
    }
    let extended = schema.extended();
    let known: BTreeSet<&str> = schema.collections.iter().map(|item| item.name.as_str()).collect();
    let targets = schema.relations.iter().flat_map(DocumentedRelation::targets);
    let foreign: BTreeSet<&str> = targets.filter(|name| !known.contains(name)).chain(extended).collect();
    if !foreign.is_empty() {
        open_group(&mut text, "directus", "Directus", 1);
        for name in foreign {
            table(&mut text, name, COLOR, &columns(schema, name), 2);
        }
        text.push_str("  }\n");
    }
    if recorded.tables().next().is_some() {
        open_group(&mut text, "sql", "Tables of SQL files", 1);
        for object in recorded.tables() {
            let columns: Vec<String> = recorded.of(&object.name, &["column"]).map(sql_column).collect();
            table(&mut text, &object.name, SQL_COLOR, &columns, 2);
        }
        text.push_str("  }\n");
    }
    for relation in &schema.relations {
        for target in relation.targets() {
            text += &format!("  {}\n", reference(schema, relation, target));
        }
    }
    text + "}\n"
}

/// A folder as a group, and a collection as a box.
fn collection(text: &mut String, schema: &DocumentedSchema, item: &DocumentedCollection, depth: usize) {
    if item.schema.is_none() {
        open_group(text, &item.name, &title(item), depth);
        for inner in schema.below(Some(&item.name)) {
            collection(text, schema, inner, depth + 1);
        }
        *text += &format!("{}}}\n", "  ".repeat(depth));
        return;
    }
    let color = item.meta.color.as_deref().filter(|color| is_hex(color)).unwrap_or(COLOR);
    table(text, &item.name, color, &columns(schema, &item.name), depth);
    for inner in schema.below(Some(&item.name)) {
        collection(text, schema, inner, depth);
    }
}

fn open_group(text: &mut String, name: &str, title: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    *text += &format!(
        "{indent}subgraph {} {{\n{indent}  graph [label={} labeljust=l style=\"rounded,filled\" color=\"#D3DAE4\" \
         fillcolor=\"#F7F8FB\" margin=16]\n",
        quoted(&format!("cluster_{name}")),
        quoted(title)
    );
}

/// A box with a head and a row for each column.
fn table(text: &mut String, name: &str, color: &str, columns: &[String], depth: usize) {
    let head = escaped(name);
    *text += &format!(
        "{}{} [label=<<table border=\"1\" color=\"#A2B5CD\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"3\" \
         bgcolor=\"white\"><tr><td colspan=\"2\" port=\"{HEAD}\" bgcolor=\"{color}\" width=\"{}\"><font color=\"{}\" \
         point-size=\"12\"><b>{head}</b></font></td></tr>{}</table>>]\n",
        "  ".repeat(depth),
        quoted(name),
        width(name, 9),
        ink(color),
        columns.concat()
    );
}

/// The rows of a collection's columns.
fn columns(schema: &DocumentedSchema, name: &str) -> Vec<String> {
    let fields = schema.fields_of(name).filter(|field| field.schema.is_some());
    fields.map(|field| column(schema, field)).collect()
}

fn column(schema: &DocumentedSchema, field: &DocumentedField) -> String {
    let column = field.schema.as_ref();
    let is_key = column.is_some_and(|column| column.is_primary_key);
    let mut marks = Vec::new();
    if is_key {
        marks.push("PK");
    } else if column.is_some_and(|column| column.is_unique) {
        marks.push("unique");
    }
    if schema.relation_of(field).is_some() {
        marks.push("FK");
    }
    let required = field.meta.required || column.is_some_and(|column| column.must_be_set());
    let name = format!("{}{}", field.name, if required && !is_key { " *" } else { "" });
    let kind = field.kind.as_deref().unwrap_or("unknown");
    row(&field.name, &name, &[&[kind], marks.as_slice()].concat().join(", "), is_key)
}

/// The row of a column that PostgreSQL describes as `text NOT NULL DEFAULT ''`.
fn sql_column(column: &RecordedObject) -> String {
    let definition = &column.definition;
    let kind = definition.split(" NOT NULL").next().unwrap_or(definition);
    let kind = kind.split(" DEFAULT ").next().unwrap_or(kind);
    let has_value = definition.contains(" DEFAULT ") || definition.contains(" GENERATED ");
    let is_required = definition.contains(" NOT NULL") && !has_value;
    let name = format!("{}{}", column.name, if is_required { " *" } else { "" });
    row(&column.name, &name, kind, false)
}

fn row(port: &str, name: &str, kind: &str, bold: bool) -> String {
    let (port, shown) = (escaped(port), escaped(name));
    let shown = if bold { format!("<b>{shown}</b>") } else { shown };
    format!(
        "<tr><td align=\"left\" port=\"{port}\" width=\"{}\">{shown}</td><td align=\"left\" port=\"{port}{RIGHT}\" \
         width=\"{}\"><font color=\"#7A8194\">{}</font></td></tr>",
        width(name, 7),
        width(kind, 7),
        escaped(kind)
    )
}

/// The width of a text in points, in a wide font: a browser without Helvetica takes another one.
fn width(text: &str, letter: usize) -> usize {
    text.chars().count() * letter + 8
}

/// From the key of the one to the column of the many; dashed if the column may be empty.
fn reference(schema: &DocumentedSchema, relation: &DocumentedRelation, target: &str) -> String {
    let mut fields = schema.fields_of(&relation.collection).filter(|field| field.name == relation.field);
    let column = fields.next().and_then(|field| field.schema.as_ref());
    let key = schema.fields_of(target).find(|field| field.schema.as_ref().is_some_and(|column| column.is_primary_key));
    let key = key.map_or_else(|| HEAD.to_owned(), |field| format!("{}{RIGHT}", field.name));
    let style = if column.is_some_and(|column| column.is_nullable) { " [style=dashed arrowtail=teeodot]" } else { "" };
    let port = if column.is_some() { &relation.field } else { HEAD };
    format!("{}:{}:e -> {}:{}:w{style}", quoted(target), quoted(&key), quoted(&relation.collection), quoted(port))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn is_hex(color: &str) -> bool {
    color.strip_prefix('#').is_some_and(|digits| digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()))
}

/// White or black, whichever is readable on a colour `#RRGGBB`.
fn ink(color: &str) -> &'static str {
    let part = |at: usize| u32::from_str_radix(color.get(at..at + 2).unwrap_or_default(), 16).unwrap_or(0);
    // The weights of ITU-R BT.601, in thousandths.
    let brightness = (299 * part(1) + 587 * part(3) + 114 * part(5)) / 1000;
    if brightness > 150 { "black" } else { "white" }
}

#[cfg(test)]
mod tests {
    use super::{diagram, ink};
    use crate::fixture;

    #[test]
    fn folders_are_groups_and_columns_are_rows() {
        let text = diagram(&fixture::schema(), &fixture::recorded());
        let position = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words} in\n{text}"));
        assert!(position("label=\"Timing\"") < position("<b>drivers</b>"));
        assert!(position("\"settings\" [label") < position("label=\"Timing\""), "outside of the folder");
        assert!(text.contains("<b>id</b>") && text.contains(">state *<") && text.contains("string, unique"));
        assert!(!text.contains(">laps<"), "a list has no column");
        assert!(text.contains("label=\"Tables of SQL files\"") && text.contains("timestamp with time zone<"));
    }

    #[test]
    fn edges_lead_from_the_key_to_the_column_and_are_dashed_where_it_may_be_empty() {
        let text = diagram(&fixture::schema(), &fixture::recorded());
        let edge = "\"drivers\":\"id(right)\":e -> \"lap-times\":\"driver\":w [style=dashed arrowtail=teeodot]\n";
        assert!(text.contains(edge), "{text}");
        assert!(text.contains("\"directus_files\":\"(head)\":e -> \"lap-times\":\"car\":w\n"), "{text}");
        assert!(text.contains("<b>directus_files</b>"), "a collection of Directus that is not extended: {text}");
    }

    #[test]
    fn the_ink_is_readable_on_the_colour() {
        assert_eq!(["#000000", "#6644FF", "#FFEE00", "#FFFFFF"].map(ink), ["white", "white", "black", "black"]);
    }
}
