//! A mutant, and its build context.

/// A deliberately broken image, which a check must catch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mutant {
    /// Name of the check that must catch it.
    pub(super) check: &'static str,
    /// Short description of the defect, without a full stop.
    pub(super) how: &'static str,
    pub(super) change: Mutation,
    /// Words that the reason of the check's failure must contain.
    pub(super) expect: &'static str,
}

/// A change to the image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mutation {
    /// Instructions of a Dockerfile, run as root after `FROM`.
    Image(&'static str),
    /// A shell script that replaces the boot binary, which is then at `$real`. Does not apply to health checks.
    Binary(&'static str),
    /// SQL that runs before every start of the boot binary.
    Sql(&'static str),
}

/// Beginning of every script. The image contains no other client than the server's own library.
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

impl Mutation {
    /// Returns the Dockerfile and the script that replaces the boot binary, if any.
    pub(super) fn context(self, image: &str) -> (String, Option<String>) {
        let script = match self {
            Mutation::Image(_) => None,
            Mutation::Binary(script) => Some(format!("{PROLOGUE}{script}\n")),
            Mutation::Sql(sql) => Some(format!("{PROLOGUE}sql \"{sql}\"\nexec \"$real\" \"$@\"\n")),
        };
        let lines = match self {
            Mutation::Image(lines) => lines,
            Mutation::Binary(_) | Mutation::Sql(_) => {
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
    fn a_mutant_runs_as_node_unless_its_change_sets_the_user() {
        let (dockerfile, _) = Mutation::Image("RUN x").context("a:b");
        assert_eq!(dockerfile, "FROM a:b\nUSER root\nRUN x\nUSER node\n");
        let (dockerfile, _) = Mutation::Image("RUN x\nUSER root").context("a:b");
        assert_eq!(dockerfile, "FROM a:b\nUSER root\nRUN x\nUSER root\n");
        let (_, script) = Mutation::Sql("select 1").context("a:b");
        assert!(script.is_some_and(|script| script.ends_with("sql \"select 1\"\nexec \"$real\" \"$@\"\n")));
    }
}
