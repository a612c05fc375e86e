//! The effects of a SQL file on tables that servers use, as far as its words show them: for the report `compat`.
//!
//! A prediction, for the message. The protection is the [witness](crate::witness), which compares what happened.

use super::scan::{Lexer, Token, TokenKind};

/// The effect of a statement on servers that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectKind {
    /// It removes, renames or narrows what they may use.
    Breaks,
    /// It holds a lock for as long as it reads or writes the table: the larger, the longer.
    Locks,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The consequence for servers that run.
    pub kind: EffectKind,
    /// The table or view, without quotes and schema.
    pub table: String,
    /// The words, such as `drops the column speed of laps`.
    pub words: String,
}

/// Finds the effects in SQL, including the bodies of functions and of `DO`.
#[must_use]
pub fn effects(sql: &str) -> Vec<Effect> {
    let mut words = Vec::new();
    flatten(sql, &mut words);
    let mut effects = Vec::new();
    for at in 0..words.len() {
        let mut reader = Reader { words: &words, at };
        if reader.take(&["alter", "table"]) {
            reader.alter_table(&mut effects);
        } else if reader.take(&["drop", "table"]) || reader.take(&["drop", "view"]) {
            reader.drop_table(&mut effects);
        } else if reader.take(&["create", "index"]) || reader.take(&["create", "unique", "index"]) {
            reader.create_index(&mut effects);
        }
    }
    effects
}

/// Lists the words and symbols of the SQL in lower case, names without their quotes.
fn flatten(sql: &str, words: &mut Vec<String>) {
    for Token { kind, range } in Lexer::new(sql) {
        let text = &sql[range];
        match kind {
            TokenKind::Comment | TokenKind::Backslash | TokenKind::Unterminated(_) => {}
            TokenKind::Text(body) if text.starts_with('$') => {
                words.push(";".to_owned());
                flatten(&sql[body], words);
                words.push(";".to_owned());
            }
            TokenKind::Text(_) => words.push("''".to_owned()),
            TokenKind::Name => words.push(text[1..text.len() - 1].replace("\"\"", "\"")),
            _ => words.push(text.to_ascii_lowercase()),
        }
    }
}

/// A position in the words.
struct Reader<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a str {
        self.words.get(self.at).map_or(";", String::as_str)
    }

    fn next(&mut self) -> &'a str {
        let word = self.peek();
        self.at += 1;
        word
    }

    /// Skips these words if they come next.
    fn take(&mut self, words: &[&str]) -> bool {
        let comes = self.words[self.at.min(self.words.len())..].iter().take(words.len()).eq(words.iter());
        if comes {
            self.at += words.len();
        }
        comes
    }

    /// Reads a name, and leaves out its schema.
    fn name(&mut self) -> String {
        let mut name = self.next();
        while self.take(&["."]) {
            name = self.next();
        }
        name.to_owned()
    }

    fn alter_table(&mut self, effects: &mut Vec<Effect>) {
        self.take(&["if", "exists"]);
        self.take(&["only"]);
        let table = self.name();
        while self.peek() != ";" {
            let action = self.action();
            let (kind, words) = match action.as_slice() {
                ["drop", "constraint", ..] | ["rename", "constraint", ..] => continue,
                ["drop", rest @ ..] => (EffectKind::Breaks, format!("drops the column {} of {table}", column(rest))),
                ["rename", "to", name, ..] => (EffectKind::Breaks, format!("renames {table} to {name}")),
                ["rename", rest @ ..] => {
                    (EffectKind::Breaks, format!("renames the column {} of {table}", column(rest)))
                }
                ["set", "schema", ..] => (EffectKind::Breaks, format!("moves {table} to another schema")),
                ["alter", rest @ ..] if has(rest, &["set", "not", "null"]) => {
                    effects.push(Effect {
                        kind: EffectKind::Locks,
                        table: table.clone(),
                        words: format!("checks each row of {table} for NULL"),
                    });
                    (EffectKind::Breaks, format!("no longer accepts NULL in the column {} of {table}", column(rest)))
                }
                ["alter", rest @ ..] if has(rest, &["type"]) => {
                    (EffectKind::Locks, format!("changes the type of the column {} of {table}", column(rest)))
                }
                ["add", "constraint" | "primary" | "unique" | "foreign" | "check" | "exclude", rest @ ..] => {
                    if has(rest, &["not", "valid"]) || has(rest, &["using", "index"]) {
                        continue;
                    }
                    (EffectKind::Locks, format!("checks each row of {table} for a constraint"))
                }
                ["add", rest @ ..] if has(rest, &["not", "null"]) => {
                    if ["default", "generated", "serial", "bigserial"].iter().any(|word| rest.contains(word)) {
                        continue;
                    }
                    (EffectKind::Breaks, format!("demands a value for the new column {} of {table}", column(rest)))
                }
                _ => continue,
            };
            effects.push(Effect { kind, table: table.clone(), words });
        }
    }

    /// Reads an action of `ALTER TABLE` and the comma after it.
    fn action(&mut self) -> Vec<&'a str> {
        let mut words = Vec::new();
        let mut brackets = 0usize;
        while self.peek() != ";" {
            let word = self.next();
            match word {
                "(" => brackets += 1,
                ")" => brackets = brackets.saturating_sub(1),
                "," if brackets == 0 => break,
                _ if brackets == 0 => words.push(word),
                _ => {}
            }
        }
        words
    }

    fn drop_table(&mut self, effects: &mut Vec<Effect>) {
        self.take(&["if", "exists"]);
        while self.peek() != ";" {
            let table = self.name();
            effects.push(Effect { kind: EffectKind::Breaks, words: format!("drops {table}"), table });
            if !self.take(&[","]) {
                break;
            }
        }
    }

    fn create_index(&mut self, effects: &mut Vec<Effect>) {
        if self.take(&["concurrently"]) {
            return;
        }
        while !matches!(self.peek(), "on" | ";") {
            self.at += 1;
        }
        if self.take(&["on"]) {
            self.take(&["only"]);
            let table = self.name();
            effects.push(Effect { kind: EffectKind::Locks, words: format!("builds an index on {table}"), table });
        }
    }
}

/// The column of an action, after its first word.
fn column<'a>(words: &[&'a str]) -> &'a str {
    let skipped = ["column", "if", "not", "exists"];
    words.iter().find(|word| !skipped.contains(word)).copied().unwrap_or_default()
}

/// Returns true if the words contain these in a row.
fn has(words: &[&str], row: &[&str]) -> bool {
    words.windows(row.len()).any(|part| part == row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> Vec<String> {
        effects(sql).into_iter().map(|effect| format!("{:?} {}: {}", effect.kind, effect.table, effect.words)).collect()
    }

    #[test]
    fn statements_that_remove_or_narrow_break() {
        for (sql, expected) in [
            ("alter table public.laps drop column if exists speed", "Breaks laps: drops the column speed of laps"),
            ("ALTER TABLE IF EXISTS ONLY \"Laps\" DROP speed", "Breaks Laps: drops the column speed of Laps"),
            ("alter table laps rename column speed to pace", "Breaks laps: renames the column speed of laps"),
            ("alter table laps rename to rounds", "Breaks laps: renames laps to rounds"),
            ("drop table if exists laps cascade", "Breaks laps: drops laps"),
            ("do $$ begin execute 'x'; drop view best_laps; end $$", "Breaks best_laps: drops best_laps"),
            (
                "alter table laps add number int not null",
                "Breaks laps: demands a value for the new column number of laps",
            ),
        ] {
            assert_eq!(found(sql), [expected], "{sql}");
        }
    }

    #[test]
    fn statements_that_read_or_write_a_whole_table_lock_it() {
        for (sql, expected) in [
            ("create unique index laps_car on public.laps (car)", "Locks laps: builds an index on laps"),
            (
                "alter table laps alter speed type numeric(8, 3)",
                "Locks laps: changes the type of the column speed of laps",
            ),
            (
                "alter table laps add constraint c check (speed > 0)",
                "Locks laps: checks each row of laps for a constraint",
            ),
        ] {
            assert_eq!(found(sql), [expected], "{sql}");
        }
        assert_eq!(found("alter table laps alter column speed set not null, drop note").len(), 3);
    }

    #[test]
    fn additions_have_no_effect() {
        for sql in [
            "create table laps (id int primary key, number int not null)",
            "alter table laps add column speed real, add column if not exists car int not null default 1",
            "alter table laps add constraint c check (speed > 0) not valid",
            "alter table laps drop constraint c",
            "create index concurrently laps_car on laps (car)",
            "-- drop table laps\ninsert into laps values ('drop table laps')",
            "create or replace view best_laps as select 1",
        ] {
            assert_eq!(found(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn every_text_has_an_end() {
        for sql in [
            "alter table",
            "drop table",
            "create index",
            "alter table a add (",
            "drop table a,",
            "do $$ alter table $$",
        ] {
            assert!(effects(sql).len() <= 1, "{sql}");
        }
    }
}
