//! The directives of SQL files, as data: the parser takes their names and examples from here, and the reference is
//! generated from here.

/// A comment line at the top of an SQL file that states how the boot applies the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The word after `-- `.
    pub name: &'static str,
    /// A value as it is written after the colon; `None` for a directive without a value.
    pub example: Option<&'static str>,
    /// The effect, in sentences for the author of the file.
    pub meaning: &'static str,
}

/// Every directive.
pub const DIRECTIVES: [Directive; 6] = [
    Directive {
        name: "no-transaction",
        example: None,
        meaning: "Each statement runs alone, outside a transaction. The file may hold only statements that need this and destroy nothing.",
    },
    Directive {
        name: "statement-timeout",
        example: Some("30s"),
        meaning: "The longest time that the SQL of the file may take (`ms`, `s`, `min`). With a transaction it limits the whole file, without one each statement.",
    },
    Directive {
        name: "owns-table",
        example: Some("laps, pits"),
        meaning: "The file creates these tables and Directus must not see them: the boot adds them to `DB_EXCLUDE_TABLES` and refuses a snapshot that contains them. Later boots warn if a part of them is missing or changed by hand.",
    },
    Directive {
        name: "breaks-older-images",
        example: None,
        meaning: "Images that lack this file refuse to serve (exit code 45) once it was applied.",
    },
    Directive {
        name: "destroys",
        example: Some("table laps"),
        meaning: "The file destroys this data on purpose. A file that destroys data without the directive is rolled back (exit code 43).",
    },
    Directive {
        name: "requires-extension",
        example: Some("timescaledb (optional: trm.timescaledb=optional)"),
        meaning: "The file needs this extension, and every boot warns if the database lacks it. The brackets are for a file that can do without: they name the session setting by which the operator accepts that, in `PGOPTIONS`.",
    },
];

/// A form with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The form as it is written in an SQL file.
    pub example: &'static str,
    /// The effect or a remark; may be empty.
    pub meaning: &'static str,
}

/// The items of `-- destroys:`, separated by commas.
pub const DESTROYS: [Form; 3] = [
    Form { example: "table laps", meaning: "The table with everything in it." },
    Form {
        example: "column laps.speed",
        meaning: "The values of the column, including values that a new type does not hold.",
    },
    Form { example: "rows of laps", meaning: "Deleted or truncated rows." },
];

/// Statements that a file with `-- no-transaction` may hold, each as SQL that the boot accepts.
pub const NO_TRANSACTION: [Form; 18] = [
    Form {
        example: "create index concurrently laps_car on public.laps (car)",
        meaning: "Also `unique`. The index needs a name; an index that an interrupted run left INVALID is dropped first.",
    },
    Form { example: "drop index concurrently public.laps_car", meaning: "" },
    Form { example: "reindex table public.laps", meaning: "Every form of `REINDEX`." },
    Form { example: "vacuum (analyze) public.laps", meaning: "" },
    Form { example: "analyze public.laps", meaning: "" },
    Form { example: "cluster public.laps using laps_car", meaning: "" },
    Form { example: "refresh materialized view public.best_laps", meaning: "" },
    Form { example: "alter type public.flag add value 'red'", meaning: "" },
    Form { example: "alter type public.flag rename value 'red' to 'stop'", meaning: "" },
    Form { example: "alter table public.laps detach partition public.laps_2025 concurrently", meaning: "" },
    Form { example: "alter table public.laps detach partition public.laps_2025 finalize", meaning: "" },
    Form { example: "alter system set work_mem = '8MB'", meaning: "" },
    Form { example: "create subscription s connection 'host=a' publication p", meaning: "" },
    Form { example: "alter subscription s refresh publication", meaning: "" },
    Form {
        example: "do $$ begin update public.laps set speed = 0; commit; end $$",
        meaning: "For updates in batches. The body is PL/pgSQL in dollar quotes and has a `COMMIT` or `ROLLBACK`; it may not contain `DELETE`, `TRUNCATE`, `DROP`, `ALTER`, `MERGE` or `EXECUTE`.",
    },
    Form {
        example: "call public.fill_laps()",
        meaning: "The one exception: the boot cannot check the effect of a procedure beforehand. Functions that a statement calls are not checked either.",
    },
    Form {
        example: "set work_mem = '64MB'",
        meaning: "Also `RESET`. A setting applies to the statements after it, until the file ends.",
    },
    Form { example: "show work_mem", meaning: "" },
];

#[cfg(test)]
mod tests {
    use super::DIRECTIVES;

    #[test]
    fn names_are_unique_and_meanings_are_sentences() {
        for (index, directive) in DIRECTIVES.iter().enumerate() {
            assert!(DIRECTIVES[..index].iter().all(|other| other.name != directive.name), "{} twice", directive.name);
            assert!(directive.meaning.ends_with('.'), "{}: no full stop", directive.name);
        }
    }
}
