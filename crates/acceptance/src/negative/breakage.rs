//! One breakage, and the image that has it.

/// One way to break what a check looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breakage {
    /// The check that must notice it.
    pub(super) check: &'static str,
    /// The breakage in words.
    pub(super) how: &'static str,
    /// The change that breaks it.
    pub(super) change: Change,
    /// Words that the check's reason must contain.
    pub(super) expect: &'static str,
}

/// A change that breaks something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Instructions of a Dockerfile, as root, after `FROM` the image.
    Image(&'static str),
    /// A shell script in the place of the boot binary; `$real` is that. Health checks are not its concern.
    Binary(&'static str),
    /// SQL that is run before the boot binary, as often as that is.
    Sql(&'static str),
}

/// The beginning of every script. The server's own client library is the only one that is there.
const PROLOGUE: &str = r#"#!/bin/sh
real=/usr/local/bin/entrypoint.real
case "$1" in healthcheck) exec "$real" "$@";; esac
sql() {
    node -e '
        const api = require("node:fs").realpathSync("/directus/node_modules/@directus/api/package.json");
        const { Client } = require("node:module").createRequire(api)("pg");
        const { DB_HOST: host, DB_PORT: port, DB_DATABASE: database, DB_USER: user, DB_PASSWORD: password } = process.env;
        const client = new Client({ host, port, database, user, password });
        const query = () => client.query(process.argv[1]);
        client.connect().then(query).then(() => process.exit(0), () => process.exit(1));
    ' "$1"
}
"#;

impl Change {
    /// The Dockerfile, and the script if there is one.
    pub(super) fn context(self, image: &str) -> (String, Option<String>) {
        let script = match self {
            Change::Image(_) => None,
            Change::Binary(script) => Some(format!("{PROLOGUE}{script}\n")),
            Change::Sql(sql) => Some(format!("{PROLOGUE}sql \"{sql}\"\nexec \"$real\" \"$@\"\n")),
        };
        let lines = match self {
            Change::Image(lines) => lines,
            Change::Binary(_) | Change::Sql(_) => {
                "RUN mv /usr/local/bin/entrypoint /usr/local/bin/entrypoint.real\n\
                 COPY --chmod=0755 entrypoint /usr/local/bin/entrypoint"
            }
        };
        let ends_with_user = lines.lines().last().is_some_and(|line| line.starts_with("USER"));
        let user = if ends_with_user { "" } else { "USER node\n" };
        (format!("FROM {image}\nUSER root\n{lines}\n{user}"), script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_image_runs_as_node_unless_that_is_what_is_broken() {
        let dockerfile = |change: Change| change.context("a:b").0;
        assert_eq!(dockerfile(Change::Image("RUN x")), "FROM a:b\nUSER root\nRUN x\nUSER node\n");
        assert_eq!(dockerfile(Change::Image("RUN x\nUSER root")), "FROM a:b\nUSER root\nRUN x\nUSER root\n");
        let (_, script) = Change::Sql("select 1").context("a:b");
        assert!(script.is_some_and(|script| script.ends_with("sql \"select 1\"\nexec \"$real\" \"$@\"\n")));
    }
}
