//! The page of the data model.

use contract::Phase;
use entrypoint::migrations::{MigrationFile, MigrationSet};

use crate::field::{default, meaning, names, rules, title};
use crate::markdown::{count, list, one_line, paragraph, table};
use crate::objects::{RecordedObject, RecordedObjects};
use crate::snapshot::{DocumentedCollection, DocumentedField, DocumentedRelation, DocumentedSchema};
use crate::{PICTURE, mermaid};

/// The sources of the page.
pub(crate) struct Sources<'a> {
    pub(crate) schema: &'a DocumentedSchema,
    pub(crate) recorded: &'a RecordedObjects,
    pub(crate) files: &'a MigrationSet,
}

impl Sources<'_> {
    /// The whole page.
    pub(crate) fn page(&self) -> String {
        let tables = self.recorded.tables().count();
        let collections = self.schema.collections.iter().filter(|item| item.schema.is_some()).count();
        let relations = self.schema.relations.len();
        let picture = PICTURE.trim_start_matches("docs/");
        let mut text = format!(
            "<!-- Written by `cargo xtask docs`; changes by hand are lost and fail `cargo xtask docs --check`. -->\n\n\
             # Data model\n\nFrom the snapshot of the Directus schema, and from the SQL files with the [objects that a boot \
             created](samples/objects.tsv) from them: {} with {}, and {} of SQL files that Directus does not see.\n\n\
             ![The tables with their columns and references]({picture})\n\nA star marks a column that must be set, and a dashed \
             line a reference that may be empty.\n\n<details>\n<summary>The same as Mermaid text: keys, \
             unique columns and references</summary>\n\n```mermaid\n{}```\n\n</details>\n",
            count(collections, "collection"),
            count(relations, "relation"),
            count(tables, "table"),
            mermaid::diagram(self.schema, self.recorded),
        );
        let folders: Vec<_> = self.schema.below(None).filter(|item| item.schema.is_none()).collect();
        for folder in &folders {
            self.folder(&mut text, folder);
        }
        let loose: Vec<_> = self.schema.below(None).filter(|item| item.schema.is_some()).collect();
        if !loose.is_empty() {
            let title = if folders.is_empty() { "Collections" } else { "Other collections" };
            text += &format!("\n## {title}\n");
            for collection in loose {
                self.collection(&mut text, collection);
            }
        }
        self.extended(&mut text);
        self.sql_tables(&mut text);
        self.sql_files(&mut text);
        text
    }

    /// A folder with everything in it, also in the folders below it.
    fn folder(&self, text: &mut String, folder: &DocumentedCollection) {
        *text += &format!("\n## {}\n", title(folder));
        paragraph(text, folder.meta.note.as_deref());
        let items: Vec<_> = self.schema.below(Some(&folder.name)).collect();
        if items.is_empty() {
            paragraph(text, Some("An empty folder."));
        }
        for item in items {
            self.collection(text, item);
        }
    }

    fn collection(&self, text: &mut String, collection: &DocumentedCollection) {
        if collection.schema.is_none() {
            return self.folder(text, collection);
        }
        let name = &collection.name;
        *text += &format!("\n### `{name}`\n");
        let names = names(collection.meta.translations.as_deref());
        if !names.is_empty() {
            *text += &format!("\n{names}\n");
        }
        paragraph(text, collection.meta.note.as_deref());
        text.push('\n');
        self.fields(text, name);
        self.rules(text, collection);
        for item in self.schema.below(Some(name)) {
            self.collection(text, item);
        }
    }

    fn fields(&self, text: &mut String, collection: &str) {
        let rows = self.schema.fields_of(collection).map(|field| {
            [format!("`{}`", field.name), self.type_of(field), rules(field).join(", "), default(field), meaning(field)]
        });
        *text += &table(["field", "type", "rules", "default", "meaning"], rows);
    }

    /// The type of a field; of one that refers to other items, the collection.
    fn type_of(&self, field: &DocumentedField) -> String {
        let kind = field.kind.as_deref().unwrap_or("unknown");
        if let Some(relation) = self.schema.relation_of(field) {
            let targets = relation.targets().into_iter().map(|target| link(self.schema, target));
            let targets: Vec<String> = targets.collect();
            let on_delete = relation.on_delete().map(|action| format!(", on delete {action}")).unwrap_or_default();
            return format!("{kind} → {}{on_delete}", targets.join(" or "));
        }
        if let Some(relation) = self.schema.listed_by(field) {
            let through = relation.meta.junction_field.as_deref().map(|field| format!(", with their `{field}`"));
            return format!("list of {}{}", link(self.schema, &relation.collection), through.unwrap_or_default());
        }
        match &field.schema {
            Some(column) => match column.max_length {
                Some(length) if kind == "string" => format!("{kind} of {length}"),
                _ => kind.to_owned(),
            },
            None => "part of the form".to_owned(),
        }
    }

    /// References from elsewhere, constraints, indexes and triggers, and the settings that decide on the items.
    fn rules(&self, text: &mut String, collection: &DocumentedCollection) {
        let mut lines: Vec<String> = self.references(&collection.name).into_iter().collect();
        let objects = self.recorded.of(&collection.name, &["constraint", "index", "trigger"]);
        lines.extend(objects.map(|object| self.object(object)));
        let settings = &collection.meta;
        if settings.singleton {
            lines.push("It has one item only.".to_owned());
        }
        if let (Some(field), Some(value)) = (&settings.archive_field, &settings.archive_value) {
            lines.push(format!("An item whose `{field}` is `{value}` is archived."));
        }
        if let Some(field) = &settings.sort_field {
            lines.push(format!("Items are sorted by hand, by `{field}`."));
        }
        list(text, &lines);
    }

    fn references(&self, collection: &str) -> Option<String> {
        let references: Vec<String> =
            self.schema.referring_to(collection).map(|relation| self.reference(relation)).collect();
        (!references.is_empty()).then(|| format!("Referred to by {}.", references.join(", ")))
    }

    fn reference(&self, relation: &DocumentedRelation) -> String {
        let on_delete = relation.on_delete().map(|action| format!(" (on delete {action})")).unwrap_or_default();
        format!("{}.`{}`{on_delete}", link(self.schema, &relation.collection), relation.field)
    }

    /// A constraint, index or trigger, with the file that has its name.
    fn object(&self, object: &RecordedObject) -> String {
        let RecordedObject { kind, name, definition, .. } = object;
        let file = self.file_of(name).map(|(path, file)| format!(", in [{}](../{path})", file.filename));
        format!("{kind} `{name}`: `{definition}`{}", file.unwrap_or_default())
    }

    /// The first file that contains a name as a word, with its path.
    fn file_of(&self, name: &str) -> Option<(String, &MigrationFile)> {
        let is_in = |file: &MigrationFile| {
            file.sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
        };
        self.all_files().find(|(_, file)| is_in(file))
    }

    /// The files in the order in which a boot applies them, with their paths.
    fn all_files(&self) -> impl Iterator<Item = (String, &MigrationFile)> {
        let folders = [(Phase::DbInit, "db-init"), (Phase::PostSchema, "db-init/post-schema")];
        folders.into_iter().flat_map(|(phase, folder)| {
            self.files.of(phase).iter().map(move |file| (format!("{folder}/{}", file.filename), file))
        })
    }

    /// The collections of Directus with fields of this project.
    fn extended(&self, text: &mut String) {
        let extended = self.schema.extended();
        if extended.is_empty() {
            return;
        }
        text.push_str("\n## Collections of Directus\n\nOnly the fields that this project adds.\n");
        for name in extended {
            *text += &format!("\n### `{name}`\n\n");
            self.fields(text, name);
            list(text, &self.references(name).into_iter().collect::<Vec<_>>());
        }
    }

    /// The tables that SQL files create and Directus does not see.
    fn sql_tables(&self, text: &mut String) {
        if self.recorded.tables().next().is_none() {
            return;
        }
        text.push_str("\n## Tables of SQL files\n\nDirectus does not see them.\n");
        for object in self.recorded.tables() {
            let name = &object.name;
            *text += &format!("\n### `{name}`\n");
            paragraph(text, Some(&object.comment));
            let owner = self.all_files().find(|(_, file)| file.directives.owned_tables.contains(name));
            paragraph(text, owner.map(|(_, file)| first_comment(file)).as_deref());
            text.push('\n');
            let columns = self.recorded.of(name, &["column"]);
            let rows = columns.map(|column| {
                let (kind, rules) = split_definition(&column.definition);
                [format!("`{}`", column.name), kind, rules, column.comment.clone()]
            });
            *text += &table(["column", "type", "rules", "meaning"], rows);
            let objects = self.recorded.of(name, &["constraint", "index", "trigger"]);
            list(text, &objects.map(|object| self.object(object)).collect::<Vec<_>>());
        }
    }

    fn sql_files(&self, text: &mut String) {
        let mut files = self.all_files().peekable();
        if files.peek().is_none() {
            return;
        }
        text.push_str("\n## SQL files\n\nIn the order in which a boot applies them.\n\n");
        let rows = files.map(|(path, file)| [format!("[{}](../{path})", file.filename), first_comment(file)]);
        *text += &table(["file", "purpose"], rows);
        let required = self.files.required_extensions().into_iter().map(|extension| match extension.optional {
            None => format!("The database must have the extension `{}`.", extension.name),
            Some(setting) => {
                format!(
                    "The database must have the extension `{}`, unless the session has `{setting}`.",
                    extension.name
                )
            }
        });
        list(text, &required.collect::<Vec<_>>());
    }
}

/// A link to the section of a collection.
fn link(schema: &DocumentedSchema, collection: &str) -> String {
    // A collection of Directus has a section only if this project extends it.
    match schema.fields_of(collection).next() {
        Some(_) => format!("[`{collection}`](#{})", collection.to_lowercase()),
        None => format!("`{collection}`"),
    }
}

/// The sentences of the comment that opens a file, without its directives.
fn first_comment(file: &MigrationFile) -> String {
    let lines = file.sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
    let lines = lines.take_while(|line| !line.is_empty());
    let is_directive = |line: &&str| contract::DIRECTIVES.iter().any(|directive| line.starts_with(directive.name));
    one_line(&lines.filter(|line| !is_directive(line)).collect::<Vec<_>>().join(" "))
}

/// Splits `text NOT NULL DEFAULT ''` into the type and the rules.
fn split_definition(definition: &str) -> (String, String) {
    let ends = [" NOT NULL", " DEFAULT ", " GENERATED "].iter().filter_map(|word| definition.find(word));
    let (kind, rules) = definition.split_at(ends.min().unwrap_or(definition.len()));
    (kind.to_owned(), if rules.is_empty() { String::new() } else { format!("`{}`", rules.trim()) })
}

#[cfg(test)]
mod tests {
    use super::{Sources, split_definition};
    use crate::fixture;

    fn page() -> String {
        Sources { schema: &fixture::schema(), recorded: &fixture::recorded(), files: &fixture::files() }.page()
    }

    /// The text of a section, without its heading.
    fn section<'a>(page: &'a str, heading: &str) -> &'a str {
        let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading} in\n{page}"));
        rest.split("\n#").next().unwrap_or(rest).trim()
    }

    #[test]
    fn collections_are_below_their_folder_which_has_its_shown_name() {
        let page = page();
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let expected = [
            "# Data model",
            "## Timing",
            "### `drivers`",
            "### `lap-times`",
            "## Other collections",
            "### `settings`",
            "## Collections of Directus",
            "### `directus_users`",
            "## Tables of SQL files",
            "### `probes`",
            "## SQL files",
        ];
        assert_eq!(headings, expected);
        assert_eq!(section(&page, "## Timing"), "Of the track.");
        assert!(page.contains("3 collections with 2 relations, and 1 table of SQL files"), "{page}");
    }

    #[test]
    fn a_field_has_its_type_rules_default_and_choices() {
        let page = page();
        let drivers = "**Drivers** (en-US)\n\n\
            | field | type | rules | default | meaning |\n| --- | --- | --- | --- | --- |\n\
            | `id` | integer | primary key |  |  |\n\
            | `laps` | list of [`lap-times`](#lap-times) |  |  |  |\n\
            | `form` | part of the form |  |  |  |\n\
            | `state` | string of 20 | required | `active` | One of `active` (Active), `gone` |\n\n\
            - Referred to by [`lap-times`](#lap-times).`driver` (on delete set null).\n\
            - constraint `one_number`: `UNIQUE (id, state)`\n\
            - An item whose `state` is `gone` is archived.";
        assert_eq!(section(&page, "### `drivers`"), drivers);
        let laps = section(&page, "### `lap-times`");
        assert!(laps.starts_with("One | lap.\n"), "{laps}");
        assert!(laps.contains("| `car` | string → `settings` or `directus_files` | required |"), "{laps}");
        assert!(
            laps.contains("| `driver` | integer → [`drivers`](#drivers), on delete set null | indexed |"),
            "{laps}"
        );
    }

    #[test]
    fn a_table_of_sql_has_the_comments_of_its_file_and_of_the_database() {
        let page = page();
        let probes = "Measured by the track.\n\nProbes of the track.\n\n\
            | column | type | rules | meaning |\n| --- | --- | --- | --- |\n\
            | `at` | timestamp with time zone | `NOT NULL DEFAULT now()` | Time of the probe. |\n\n\
            - index `probes_at`: `CREATE INDEX probes_at ON public.probes USING btree (at)`, in \
            [001_probes.sql](../db-init/001_probes.sql)";
        assert_eq!(section(&page, "### `probes`"), probes);
        assert!(
            section(&page, "## SQL files")
                .ends_with("| [001_probes.sql](../db-init/001_probes.sql) | Probes of the track. |")
        );
    }

    #[test]
    fn a_definition_is_split_into_type_and_rules() {
        assert_eq!(split_definition("numeric(5,2)"), ("numeric(5,2)".to_owned(), String::new()));
        assert_eq!(split_definition("text DEFAULT 'a NOT NULL'::text").0, "text");
    }
}
