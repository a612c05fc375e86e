//! The directives and statements of the reference, read by the parser that a boot uses.

use contract::{DESTROYS, DIRECTIVES, NO_TRANSACTION};
use entrypoint::migrations::{Directives, MigrationFile};

fn parse(sql: &str) -> Directives {
    let file = MigrationFile::parse("001_laps.sql", sql.as_bytes());
    file.unwrap_or_else(|error| panic!("{sql}: {error:?}")).directives
}

#[test]
fn every_directive_of_the_reference_has_an_effect() {
    for directive in DIRECTIVES {
        let value = directive.example.map_or_else(String::new, |example| format!(": {example}"));
        let statement = if directive.name == "no-transaction" { "vacuum laps" } else { "select 1" };
        let headers = parse(&format!("-- {}{value}\n{statement};\n", directive.name));
        assert_ne!(headers, Directives::default(), "{}", directive.name);
    }
}

#[test]
fn every_declared_loss_of_the_reference_is_read() {
    for form in DESTROYS {
        let [announcement] = &parse(&format!("-- destroys: {}\nselect 1;\n", form.example)).destroys[..] else {
            panic!("{} is not one announcement", form.example);
        };
        assert_eq!(announcement.to_string(), form.example);
    }
}

#[test]
fn every_statement_of_the_reference_may_run_without_a_transaction() {
    for form in NO_TRANSACTION {
        assert!(parse(&format!("-- no-transaction\n{};\n", form.example)).no_transaction, "{}", form.example);
    }
}
