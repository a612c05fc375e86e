//! What one state of a database has that another one lacks, by content. Knows nothing of the boot's own witness.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::state::{Column, Row, Rule, State, Table};

/// How tables and columns of two states are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By PostgreSQL's numbers: a renamed table is the same one, a new one of the same name is not.
    Number,
    /// By their names.
    Name,
}

/// Something that is in the first state alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lost {
    Table {
        table: String,
        rows: Vec<Row>,
    },
    Rows {
        table: String,
        rows: Vec<Row>,
    },
    Column {
        table: String,
        column: String,
        values: usize,
    },
    /// Values that are others now.
    Values {
        table: String,
        column: String,
        number: usize,
        retyped: bool,
    },
    Type {
        table: String,
        column: String,
        from: String,
        to: String,
    },
    NotNull {
        table: String,
        column: String,
    },
    Default {
        table: String,
        column: String,
    },
    Rule(Rule),
    Object(String),
}

impl Lost {
    /// Returns true if data is lost, and not structure alone.
    pub(super) fn is_data(&self) -> bool {
        match self {
            Lost::Table { rows, .. } => !rows.is_empty(),
            Lost::Column { values, .. } => *values > 0,
            Lost::Rows { .. } | Lost::Values { .. } => true,
            _ => false,
        }
    }

    /// The table that it is about; empty for an object.
    pub(super) fn table(&self) -> &str {
        match self {
            Lost::Table { table, .. }
            | Lost::Rows { table, .. }
            | Lost::Column { table, .. }
            | Lost::Values { table, .. }
            | Lost::Type { table, .. }
            | Lost::NotNull { table, .. }
            | Lost::Default { table, .. } => table,
            Lost::Rule(rule) => &rule.table,
            Lost::Object(_) => "",
        }
    }

    /// The column that it is about.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Lost::Column { column, .. }
            | Lost::Values { column, .. }
            | Lost::Type { column, .. }
            | Lost::NotNull { column, .. }
            | Lost::Default { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Returns true if a directive such as `column sites.code` announces it.
    pub(super) fn is_announced(&self, directives: &[String]) -> bool {
        let table = self.table();
        let names = |text: String| directives.contains(&text);
        let column = self.column().is_some_and(|column| names(format!("column {table}.{column}")));
        let rows = !matches!(self, Lost::Table { .. } | Lost::Column { .. }) && names(format!("rows of {table}"));
        names(format!("table {table}")) || column || rows
    }

    /// Returns true if a file says that it changes these values: `sites.code` or `sites.*`.
    pub(super) fn is_change(&self, changes: &[String]) -> bool {
        let table = self.table();
        let whole = changes.contains(&format!("{table}.*")) && matches!(self, Lost::Values { .. } | Lost::Rows { .. });
        let column = || self.column().is_some_and(|column| changes.contains(&format!("{table}.{column}")));
        whole || matches!(self, Lost::Values { retyped: false, .. }) && column()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Table { table, rows } => write!(f, "table {table} ({} rows)", rows.len()),
            Lost::Rows { table, rows } => write!(f, "{} rows of {table}", rows.len()),
            Lost::Column { table, column, values } => write!(f, "column {table}.{column} ({values} values)"),
            Lost::Values { table, column, number, .. } => write!(f, "{number} values of {table}.{column} have changed"),
            Lost::Type { table, column, from, to } => write!(f, "{table}.{column} is {to}, was {from}"),
            Lost::NotNull { table, column } => write!(f, "NOT NULL of {table}.{column} has changed"),
            Lost::Default { table, column } => write!(f, "the default of {table}.{column} has changed"),
            Lost::Rule(rule) => write!(f, "{} on {}", rule.definition, rule.table),
            Lost::Object(object) => f.write_str(object),
        }
    }
}

/// Everything that `before` has and `after` lacks.
pub(super) fn losses(before: &State, after: &State, by: By) -> Vec<Lost> {
    let mut found = Vec::new();
    for (number, table) in &before.tables {
        let now = match by {
            By::Number => after.tables.get(number),
            By::Name => after.table(&table.name),
        };
        match now {
            None => found.push(Lost::Table { table: table.name.clone(), rows: table.rows.clone() }),
            Some(now) => compare_table(table, now, by, &before.rules, &mut found),
        }
    }
    let is_here = |name: &str| after.table(name).is_some();
    // Constraints of a lost table are lost with it; those of a renamed one have its new name.
    found.extend(before.rules.difference(&after.rules).filter(|rule| is_here(&rule.table)).cloned().map(Lost::Rule));
    found.extend(before.objects.difference(&after.objects).cloned().map(Lost::Object));
    found
}

/// The columns of a table with those of the other state that they became.
fn matched<'a>(table: &'a Table, now: &'a Table, by: By) -> Vec<(&'a Column, Option<&'a Column>)> {
    let find = |number: &i16, column: &Column| match by {
        By::Number => now.columns.get(number),
        By::Name => now.columns.values().find(|other| other.name == column.name),
    };
    table.columns.iter().map(|(number, column)| (column, find(number, column))).collect()
}

fn compare_table(table: &Table, now: &Table, by: By, rules: &BTreeSet<Rule>, found: &mut Vec<Lost>) {
    let columns = matched(table, now, by);
    let name = || table.name.clone();
    let mut kept = Vec::new();
    for (column, other) in columns {
        let Some(other) = other else {
            let values = table.rows.iter().filter(|row| !is_null(row.get(&column.name))).count();
            found.push(Lost::Column { table: name(), column: column.name.clone(), values });
            continue;
        };
        let column_name = || column.name.clone();
        if column.data_type != other.data_type {
            let (from, to) = (column.data_type.clone(), other.data_type.clone());
            found.push(Lost::Type { table: name(), column: column_name(), from, to });
        }
        if column.not_null != other.not_null {
            found.push(Lost::NotNull { table: name(), column: column_name() });
        }
        if column.default != other.default {
            found.push(Lost::Default { table: name(), column: column_name() });
        }
        kept.push((column, other));
    }
    let references = |column: &str| {
        rules
            .iter()
            .any(|rule| rule.kind == "f" && rule.table == table.name && rule.columns.iter().any(|one| one == column))
    };
    let rows = Rows { kept: &kept };
    let (lost, changed) = match rows.by_key(table, now) {
        Some(compared) => compared,
        None => rows.as_a_bag(table, now),
    };
    if !lost.is_empty() {
        found.push(Lost::Rows { table: name(), rows: lost });
    }
    for (column, number) in changed {
        let pair = kept.iter().find(|(one, _)| one.name == column);
        let retyped = pair.is_some_and(|(one, other)| one.data_type != other.data_type);
        // A foreign key may set it when the row that it leads to is deleted.
        if !references(&column) {
            found.push(Lost::Values { table: name(), column, number, retyped });
        }
    }
}

/// Lost rows, and how many values of each column have changed.
type Compared = (Vec<Row>, BTreeMap<String, usize>);

struct Rows<'a> {
    kept: &'a [(&'a Column, &'a Column)],
}

impl Rows<'_> {
    /// Row by row; `None` without a key, or if a column of the key is lost.
    fn by_key(&self, table: &Table, now: &Table) -> Option<Compared> {
        let key: Option<Vec<_>> =
            table.key.iter().map(|name| self.kept.iter().find(|(column, _)| column.name == *name)).collect();
        let key = key.filter(|key| !key.is_empty())?;
        let index: BTreeMap<String, &Row> = now
            .rows
            .iter()
            .map(|row| (key.iter().map(|(_, now)| canonical(row.get(&now.name))).collect::<Vec<_>>().join("\0"), row))
            .collect();
        let (mut lost, mut changed) = (Vec::new(), BTreeMap::new());
        for row in &table.rows {
            let value: Vec<String> = key.iter().map(|(column, _)| canonical(row.get(&column.name))).collect();
            let Some(other) = index.get(&value.join("\0")) else {
                lost.push(row.clone());
                continue;
            };
            for (column, now) in self.kept {
                let value = row.get(&column.name);
                if !is_null(value) && canonical(value) != canonical(other.get(&now.name)) {
                    *changed.entry(column.name.clone()).or_default() += 1;
                }
            }
        }
        Some((lost, changed))
    }

    /// As a bag of rows: if there are fewer of them, rows are lost, otherwise values have changed.
    fn as_a_bag(&self, table: &Table, now: &Table) -> Compared {
        let mut bag: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for row in &now.rows {
            *bag.entry(self.kept.iter().map(|(_, now)| canonical(row.get(&now.name))).collect()).or_default() += 1;
        }
        let mut lost = Vec::new();
        for row in &table.rows {
            let values: Vec<String> = self.kept.iter().map(|(column, _)| canonical(row.get(&column.name))).collect();
            match bag.get_mut(&values) {
                Some(number) if *number > 0 => *number -= 1,
                _ => lost.push(row.clone()),
            }
        }
        if lost.is_empty() || now.rows.len() < table.rows.len() {
            return (lost, BTreeMap::new());
        }
        let mut changed = BTreeMap::new();
        for (column, other) in self.kept {
            let bag = |rows: &[Row], name: &str| {
                let mut values: Vec<String> = rows.iter().map(|row| canonical(row.get(name))).collect();
                values.sort();
                values
            };
            let (before, mut after) = (bag(&table.rows, &column.name), bag(&now.rows, &other.name));
            let gone = before.iter().filter(|value| match after.iter().position(|other| other == *value) {
                Some(at) => {
                    after.remove(at);
                    false
                }
                None => *value != "null",
            });
            let number = gone.count();
            if number > 0 {
                changed.insert(column.name.clone(), number);
            }
        }
        if changed.is_empty() { (lost, changed) } else { (Vec::new(), changed) }
    }
}

fn is_null(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// A value in a form that is the same before and after a change of type that loses nothing.
pub(super) fn canonical(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => {
            let parsed = if text.starts_with(['{', '[']) { serde_json::from_str::<Value>(text).ok() } else { None };
            parsed.map_or_else(|| text.clone(), |value| value.to_string())
        }
        Some(Value::Number(number)) => match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => number.as_f64().map_or_else(|| number.to_string(), |float| float.to_string()),
        },
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state() -> State {
        let column = |name: &str, data_type: &str| Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            ..Column::default()
        };
        let rows = json!([{ "id": 1, "speed": 3 }, { "id": 2, "speed": 4 }]);
        let table = Table {
            name: "laps".to_owned(),
            columns: BTreeMap::from([(1, column("id", "integer")), (2, column("speed", "integer"))]),
            key: vec!["id".to_owned()],
            rows: serde_json::from_value(rows).expect("rows"),
        };
        let rule = Rule {
            table: "laps".to_owned(),
            kind: "c".to_owned(),
            columns: vec!["speed".to_owned()],
            definition: "CHECK (speed > 0)".to_owned(),
        };
        State {
            tables: BTreeMap::from([(10, table)]),
            rules: BTreeSet::from([rule]),
            objects: BTreeSet::from(["view fast".to_owned()]),
            ..State::default()
        }
    }

    fn found(by: By, change: impl FnOnce(&mut State)) -> Vec<String> {
        let mut after = state();
        change(&mut after);
        losses(&state(), &after, by).iter().map(Lost::to_string).collect()
    }

    fn laps(state: &mut State) -> &mut Table {
        state.tables.get_mut(&10).expect("laps")
    }

    #[test]
    fn a_lost_row_column_constraint_and_object_are_noticed() {
        assert!(found(By::Name, |_| {}).is_empty());
        assert_eq!(found(By::Name, |after| drop(laps(after).rows.remove(0))), ["1 rows of laps"]);
        assert_eq!(found(By::Name, |after| drop(laps(after).columns.remove(&2))), ["column laps.speed (2 values)"]);
        assert_eq!(found(By::Name, |after| after.rules.clear()), ["CHECK (speed > 0) on laps"]);
        assert_eq!(found(By::Name, |after| after.objects.clear()), ["view fast"]);
        assert_eq!(found(By::Name, |after| drop(after.tables.remove(&10))), ["table laps (2 rows)"]);
    }

    #[test]
    fn changed_values_and_properties_are_noticed() {
        let changed = |after: &mut State| drop(laps(after).rows[0].insert("speed".to_owned(), json!(9)));
        assert_eq!(found(By::Name, changed), ["1 values of laps.speed have changed"]);
        let nullable = |after: &mut State| laps(after).columns.get_mut(&2).expect("speed").not_null = true;
        assert_eq!(found(By::Name, nullable), ["NOT NULL of laps.speed has changed"]);
        let retyped = |after: &mut State| {
            laps(after).columns.get_mut(&2).expect("speed").data_type = "text".to_owned();
            laps(after).rows[0].insert("speed".to_owned(), json!("3"));
            laps(after).rows[1].insert("speed".to_owned(), json!("4"));
        };
        assert_eq!(found(By::Name, retyped), ["laps.speed is text, was integer"]);
    }

    #[test]
    fn a_renamed_table_is_lost_by_its_name_and_not_by_its_number() {
        let rename = |after: &mut State| laps(after).name = "rounds".to_owned();
        assert_eq!(found(By::Name, rename), ["table laps (2 rows)"]);
        assert!(found(By::Number, rename).is_empty());
    }

    #[test]
    fn rows_without_a_key_are_a_bag() {
        let keyless = |rows: Value| {
            let mut state = state();
            laps(&mut state).key.clear();
            laps(&mut state).rows = serde_json::from_value(rows).expect("rows");
            state
        };
        let before = keyless(json!([{ "id": 1, "speed": 3 }, { "id": 1, "speed": 3 }]));
        let words = |after| losses(&before, &keyless(after), By::Name).iter().map(Lost::to_string).collect::<Vec<_>>();
        assert_eq!(words(json!([{ "id": 1, "speed": 3 }])), ["1 rows of laps"]);
        assert_eq!(
            words(json!([{ "id": 1, "speed": 3 }, { "id": 1, "speed": 5 }])),
            ["1 values of laps.speed have changed"]
        );
        assert!(words(json!([{ "id": 2, "speed": 1 }, { "id": 1, "speed": 3 }, { "id": 1, "speed": 3 }])).is_empty());
    }

    #[test]
    fn a_directive_announces_what_it_names() {
        let rows = Lost::Rows { table: "laps".to_owned(), rows: Vec::new() };
        let announced = |loss: &Lost, text: &str| loss.is_announced(&[text.to_owned()]);
        assert!(
            announced(&rows, "rows of laps") && announced(&rows, "table laps") && !announced(&rows, "rows of cars")
        );
        let column = Lost::Column { table: "laps".to_owned(), column: "speed".to_owned(), values: 1 };
        assert!(announced(&column, "column laps.speed") && !announced(&column, "rows of laps"));
    }
}
