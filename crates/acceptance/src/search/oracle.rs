//! Differences between two states of a database, by content. Independent of the boot's own witness.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::state::{DatabaseState, Row, StateColumn, StateRule, StateTable};

/// The key by which tables and columns of two states are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// PostgreSQL's numbers: a renamed table is the same one, a new one of the same name is not.
    Number,
    Name,
}

/// Something that exists in the first state only.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StateLoss {
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
    /// Values that have changed.
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
    Rule(StateRule),
    Object(String),
}

impl StateLoss {
    /// Returns true if data is lost, not only structure.
    pub(super) fn is_data(&self) -> bool {
        match self {
            StateLoss::Table { rows, .. } => !rows.is_empty(),
            StateLoss::Column { values, .. } => *values > 0,
            StateLoss::Rows { .. } | StateLoss::Values { .. } => true,
            _ => false,
        }
    }

    /// Returns the table of the loss; empty for an object.
    pub(super) fn table(&self) -> &str {
        match self {
            StateLoss::Table { table, .. }
            | StateLoss::Rows { table, .. }
            | StateLoss::Column { table, .. }
            | StateLoss::Values { table, .. }
            | StateLoss::Type { table, .. }
            | StateLoss::NotNull { table, .. }
            | StateLoss::Default { table, .. } => table,
            StateLoss::Rule(rule) => &rule.table,
            StateLoss::Object(_) => "",
        }
    }

    pub(super) fn column(&self) -> Option<&str> {
        match self {
            StateLoss::Column { column, .. }
            | StateLoss::Values { column, .. }
            | StateLoss::Type { column, .. }
            | StateLoss::NotNull { column, .. }
            | StateLoss::Default { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Returns true if a directive such as `column sites.code` announces the loss.
    pub(super) fn is_announced(&self, directives: &[String]) -> bool {
        let table = self.table();
        let mut accepted = vec![format!("table {table}")];
        accepted.extend(self.column().map(|column| format!("column {table}.{column}")));
        if !matches!(self, StateLoss::Table { .. } | StateLoss::Column { .. }) {
            accepted.push(format!("rows of {table}"));
        }
        accepted.iter().any(|item| directives.contains(item))
    }

    /// Returns true if the changes of a file, such as `sites.code` or `sites.*`, include these values or rows.
    pub(super) fn is_change(&self, changes: &[String]) -> bool {
        let whole_table = changes.contains(&format!("{}.*", self.table()));
        match self {
            StateLoss::Rows { .. } => whole_table,
            StateLoss::Values { table, column, retyped, .. } => {
                whole_table || !retyped && changes.contains(&format!("{table}.{column}"))
            }
            _ => false,
        }
    }
}

impl fmt::Display for StateLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateLoss::Table { table, rows } => write!(f, "table {table} ({} rows)", rows.len()),
            StateLoss::Rows { table, rows } => write!(f, "{} rows of {table}", rows.len()),
            StateLoss::Column { table, column, values } => write!(f, "column {table}.{column} ({values} values)"),
            StateLoss::Values { table, column, number, .. } => {
                write!(f, "{number} values of {table}.{column} have changed")
            }
            StateLoss::Type { table, column, from, to } => write!(f, "{table}.{column} is {to}, was {from}"),
            StateLoss::NotNull { table, column } => write!(f, "NOT NULL of {table}.{column} has changed"),
            StateLoss::Default { table, column } => write!(f, "the default of {table}.{column} has changed"),
            StateLoss::Rule(rule) => write!(f, "{} on {}", rule.definition, rule.table),
            StateLoss::Object(object) => f.write_str(object),
        }
    }
}

/// Returns everything that `before` has and `after` lacks.
pub(super) fn losses(before: &DatabaseState, after: &DatabaseState, by: By) -> Vec<StateLoss> {
    let mut found = Vec::new();
    for (number, table) in &before.tables {
        let now = match by {
            By::Number => after.tables.get(number),
            By::Name => after.table(&table.name),
        };
        match now {
            None => found.push(StateLoss::Table { table: table.name.clone(), rows: table.rows.clone() }),
            Some(now) => compare_table(table, now, by, &before.rules, &mut found),
        }
    }
    // Constraints of a lost table are lost with it; those of a renamed table have its new name.
    let rules = before.rules.difference(&after.rules).filter(|rule| after.table(&rule.table).is_some());
    found.extend(rules.cloned().map(StateLoss::Rule));
    found.extend(before.objects.difference(&after.objects).cloned().map(StateLoss::Object));
    found
}

/// Pairs the columns of a table with the same columns in the other state, if they exist there.
fn matched<'a>(table: &'a StateTable, now: &'a StateTable, by: By) -> Vec<(&'a StateColumn, Option<&'a StateColumn>)> {
    let mut pairs = Vec::new();
    for (number, column) in &table.columns {
        let other = match by {
            By::Number => now.columns.get(number),
            By::Name => now.columns.values().find(|other| other.name == column.name),
        };
        pairs.push((column, other));
    }
    pairs
}

fn compare_table(
    before: &StateTable,
    now: &StateTable,
    by: By,
    rules: &BTreeSet<StateRule>,
    found: &mut Vec<StateLoss>,
) {
    let mut kept = Vec::new();
    for (column, other) in matched(before, now, by) {
        let (table, name) = (before.name.clone(), column.name.clone());
        let Some(other) = other else {
            let values = before.rows.iter().filter(|row| !is_null(row.get(&name))).count();
            found.push(StateLoss::Column { table, column: name, values });
            continue;
        };
        if column.data_type != other.data_type {
            let (from, to) = (column.data_type.clone(), other.data_type.clone());
            found.push(StateLoss::Type { table: table.clone(), column: name.clone(), from, to });
        }
        if column.not_null != other.not_null {
            found.push(StateLoss::NotNull { table: table.clone(), column: name.clone() });
        }
        if column.default != other.default {
            found.push(StateLoss::Default { table, column: name });
        }
        kept.push((column, other));
    }
    let rows = RowComparison { kept: &kept };
    let (lost, changed) = match rows.by_key(before, now) {
        Some(compared) => compared,
        None => rows.as_a_bag(before, now),
    };
    if !lost.is_empty() {
        found.push(StateLoss::Rows { table: before.name.clone(), rows: lost });
    }
    for (column, number) in changed {
        let pair = kept.iter().find(|(one, _)| one.name == column);
        let retyped = pair.is_some_and(|(one, other)| one.data_type != other.data_type);
        // A foreign key may set its column when the referenced row is deleted.
        if !is_foreign_key(rules, &before.name, &column) {
            found.push(StateLoss::Values { table: before.name.clone(), column, number, retyped });
        }
    }
}

fn is_foreign_key(rules: &BTreeSet<StateRule>, table: &str, column: &String) -> bool {
    rules.iter().any(|rule| rule.kind == "f" && rule.table == table && rule.columns.contains(column))
}

/// Lost rows, and the number of changed values by column.
type Compared = (Vec<Row>, BTreeMap<String, usize>);

/// Compares the rows of a table by the columns that both states have.
struct RowComparison<'a> {
    kept: &'a [(&'a StateColumn, &'a StateColumn)],
}

impl RowComparison<'_> {
    /// Compares row by row; `None` without a primary key, or if a column of it is lost.
    fn by_key(&self, table: &StateTable, now: &StateTable) -> Option<Compared> {
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

    /// Compares the rows as a bag: with fewer rows than before, rows are lost; otherwise values have changed.
    fn as_a_bag(&self, table: &StateTable, now: &StateTable) -> Compared {
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
            let mut after: Vec<String> = now.rows.iter().map(|row| canonical(row.get(&other.name))).collect();
            let mut number = 0;
            for row in &table.rows {
                let value = canonical(row.get(&column.name));
                match after.iter().position(|other| *other == value) {
                    Some(at) => drop(after.swap_remove(at)),
                    None => number += usize::from(value != "null"),
                }
            }
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

/// Returns a value in a form that does not change when a lossless cast changes its type.
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

    fn integer(name: &str) -> StateColumn {
        StateColumn { name: name.to_owned(), data_type: "integer".to_owned(), ..StateColumn::default() }
    }

    fn state() -> DatabaseState {
        let rows = json!([{ "id": 1, "speed": 3 }, { "id": 2, "speed": 4 }]);
        let table = StateTable {
            name: "laps".to_owned(),
            columns: BTreeMap::from([(1, integer("id")), (2, integer("speed"))]),
            key: vec!["id".to_owned()],
            rows: serde_json::from_value(rows).expect("rows"),
        };
        let rule = StateRule {
            table: "laps".to_owned(),
            kind: "c".to_owned(),
            columns: vec!["speed".to_owned()],
            definition: "CHECK (speed > 0)".to_owned(),
        };
        DatabaseState {
            tables: BTreeMap::from([(10, table)]),
            rules: BTreeSet::from([rule]),
            objects: BTreeSet::from(["view fast".to_owned()]),
            ..DatabaseState::default()
        }
    }

    fn found(by: By, change: impl FnOnce(&mut DatabaseState)) -> Vec<String> {
        let mut after = state();
        change(&mut after);
        losses(&state(), &after, by).iter().map(StateLoss::to_string).collect()
    }

    fn laps(state: &mut DatabaseState) -> &mut StateTable {
        state.tables.get_mut(&10).expect("laps")
    }

    fn speed(state: &mut DatabaseState) -> &mut StateColumn {
        laps(state).columns.get_mut(&2).expect("speed")
    }

    fn set_speeds(state: &mut DatabaseState, speeds: [Value; 2]) {
        for (row, value) in laps(state).rows.iter_mut().zip(speeds) {
            row.insert("speed".to_owned(), value);
        }
    }

    fn keyless(rows: Value) -> DatabaseState {
        let mut state = state();
        laps(&mut state).key.clear();
        laps(&mut state).rows = serde_json::from_value(rows).expect("rows");
        state
    }

    fn announces(directive: &str, loss: &StateLoss) -> bool {
        loss.is_announced(&[directive.to_owned()])
    }

    #[test]
    fn lost_rows_columns_constraints_and_objects_are_found() {
        assert!(found(By::Name, |_| {}).is_empty());
        assert_eq!(found(By::Name, |after| drop(laps(after).rows.remove(0))), ["1 rows of laps"]);
        assert_eq!(found(By::Name, |after| drop(laps(after).columns.remove(&2))), ["column laps.speed (2 values)"]);
        assert_eq!(found(By::Name, |after| after.rules.clear()), ["CHECK (speed > 0) on laps"]);
        assert_eq!(found(By::Name, |after| after.objects.clear()), ["view fast"]);
        assert_eq!(found(By::Name, |after| drop(after.tables.remove(&10))), ["table laps (2 rows)"]);
    }

    #[test]
    fn changed_values_and_properties_are_found() {
        let changed = found(By::Name, |after| set_speeds(after, [json!(9), json!(4)]));
        assert_eq!(changed, ["1 values of laps.speed have changed"]);
        assert_eq!(found(By::Name, |after| speed(after).not_null = true), ["NOT NULL of laps.speed has changed"]);
        let retyped = found(By::Name, |after| {
            speed(after).data_type = "text".to_owned();
            set_speeds(after, [json!("3"), json!("4")]);
        });
        assert_eq!(retyped, ["laps.speed is text, was integer"]);
    }

    #[test]
    fn a_renamed_table_is_lost_by_name_but_not_by_number() {
        assert_eq!(found(By::Name, |after| laps(after).name = "rounds".to_owned()), ["table laps (2 rows)"]);
        assert!(found(By::Number, |after| laps(after).name = "rounds".to_owned()).is_empty());
    }

    #[test]
    fn rows_without_a_key_are_compared_as_a_bag() {
        let before = keyless(json!([{ "id": 1, "speed": 3 }, { "id": 1, "speed": 3 }]));
        let cases: [(Value, &[&str]); 3] = [
            (json!([{ "id": 1, "speed": 3 }]), &["1 rows of laps"]),
            (json!([{ "id": 1, "speed": 3 }, { "id": 1, "speed": 5 }]), &["1 values of laps.speed have changed"]),
            (json!([{ "id": 2, "speed": 1 }, { "id": 1, "speed": 3 }, { "id": 1, "speed": 3 }]), &[]),
        ];
        for (rows, expected) in cases {
            let lost = losses(&before, &keyless(rows), By::Name);
            assert_eq!(lost.iter().map(StateLoss::to_string).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_directive_announces_the_loss_that_it_names() {
        let rows = StateLoss::Rows { table: "laps".to_owned(), rows: Vec::new() };
        assert!(announces("rows of laps", &rows) && announces("table laps", &rows));
        assert!(!announces("rows of cars", &rows));
        let column = StateLoss::Column { table: "laps".to_owned(), column: "speed".to_owned(), values: 1 };
        assert!(announces("column laps.speed", &column) && !announces("rows of laps", &column));
    }
}
