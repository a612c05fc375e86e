//! How every check is broken, in the order of the acceptance list. The ways are those that fail early.

use super::breakage::Breakage;
use super::breakage::Change::{Binary, Image, Sql};

/// A boot binary whose failures look like successes.
const SWALLOWS_FAILURES: &str = r#""$real" "$@"; exit 0"#;
/// A boot binary that is no first process, in a shell that passes no signal on.
const KEEPS_SIGNALS: &str = r#"export BOOT_DATABASE_TIMEOUT=8; "$real" "$@"; exit $?"#;
/// Has Directus' transactions look as if they held no locks: so the catalog after the work is that before it.
const BLIND_WITNESS: &str = r#"RUN sed -i "s#return { type: 'rows', rows: await open().query(sql) };#\
const rows = await open().query(sql); \
const unseen = /pg_current_xact_id_if_assigned/.test(sql) ? [[null, '', '', '']] : rows; \
return { type: 'rows', rows: unseen };#" /directus/scripts/bridge.mjs && grep -q 'rows: unseen' /directus/scripts/bridge.mjs"#;
/// Has Directus' process commit what the boot asks it to roll back.
const COMMITS_ROLLBACKS: &str =
    r#"RUN sed -i "s/ended((open) => open.rollback())/ended((open) => open.commit())/" /directus/scripts/bridge.mjs"#;

/// Has the schema apply delete rows, and look as if it held no locks.
const UNSEEN_LOSS: &str = r#"RUN sed -i "s#return { type: 'rows', rows: await open().query(sql) };#\
const rows = await open().query(sql); \
const unseen = /pg_current_xact_id_if_assigned/.test(sql) ? [[null, '', '', '']] : rows; \
return { type: 'rows', rows: unseen };#" /directus/scripts/bridge.mjs && \
sed -i "s#await work.remove();#await work.remove(); await knex.raw('delete from public.readings');#" /directus/scripts/apply.mjs && \
grep -q 'rows: unseen' /directus/scripts/bridge.mjs && grep -q 'public.readings' /directus/scripts/apply.mjs"#;

/// Every breakage.
pub(super) const BREAKAGES: &[Breakage] = &[
    // image.rs
    Breakage {
        check: "size",
        how: "6 MB more",
        change: Image("RUN head -c 6000000 /dev/urandom > /directus/padding"),
        expect: "over the limit of 5.0 MB",
    },
    Breakage {
        check: "user",
        how: "runs as root",
        change: Image("USER root"),
        expect: "the image's user is node: \"root\" instead of \"node\"",
    },
    Breakage {
        check: "user",
        how: "the SQL can be rewritten",
        change: Image("RUN chmod 0777 /directus/db-init"),
        expect: "/directus/db-init belongs to root, readable and not writable: /directus/db-init 0:0 0777",
    },
    Breakage {
        check: "user",
        how: "a setuid program",
        change: Image("RUN cp /bin/cat /usr/local/bin/raised && chmod 4755 /usr/local/bin/raised"),
        expect: "is added: /usr/local/bin/raised 0:0 4755",
    },
    Breakage {
        check: "pin",
        how: "built on `latest`",
        change: Image(r#"LABEL org.opencontainers.image.base.name="directus/directus:latest""#),
        expect: "is not pinned",
    },
    Breakage {
        check: "pin",
        how: "built on another version than the Dockerfile says",
        change: Image(r#"LABEL org.opencontainers.image.base.name="directus/directus:11.5.1""#),
        expect: "the base is directus/directus:11.5.1, and the Dockerfile says",
    },
    Breakage {
        check: "pin",
        how: "a snapshot of another version",
        change: Image(r#"RUN sed -i "s/^directus: .*/directus: 11.5.1/" /directus/snapshots/schema.yaml"#),
        expect: "the snapshot is of Directus 11.5.1",
    },
    Breakage {
        check: "upstream",
        how: "a line more in Directus",
        change: Image(r#"RUN echo "//" >> /directus/package.json"#),
        expect: "upstream's, but changed: /directus/package.json: another content",
    },
    Breakage {
        check: "upstream",
        how: "a file of Directus that node may write",
        change: Image("RUN chmod 0666 /directus/package.json"),
        expect: "/directus/package.json: mode 0666 instead of",
    },
    Breakage {
        check: "compiled",
        how: "a bundle that was changed after it was compiled",
        change: Image("RUN echo '//' >> /directus/bundle/server.js"),
        expect: "1 modules are not what was compiled, or never were: reading cache",
    },
    Breakage {
        check: "no-shell-script",
        how: "a shell script boots it",
        change: Binary(r#"exec "$real" "$@""#),
        expect: "shell scripts are added: /usr/local/bin/entrypoint",
    },
    Breakage {
        check: "no-shell-script",
        how: "a dynamically linked program boots it",
        change: Image(r#"RUN cp "$(readlink -f "$(command -v cat)")" /usr/local/bin/entrypoint"#),
        expect: "is dynamically linked",
    },
    Breakage {
        check: "no-secret-in-image",
        how: "a password among its variables",
        change: Image("ENV SMTP_PASSWORD=hunter2"),
        expect: "variables: SMTP_PASSWORD has a value",
    },
    Breakage {
        check: "no-secret-in-image",
        how: "a private key that a later layer removes",
        change: Image(
            "RUN printf '%s KEY-----\\n' '-----BEGIN PRIVATE' > /directus/key && \
             head -c 600 /dev/urandom | base64 >> /directus/key\nRUN rm /directus/key",
        ),
        expect: "/directus/key: it holds a private key",
    },
    Breakage {
        check: "no-secret-in-image",
        how: "a token in its history",
        change: Image("RUN NPM_TOKEN=hunter2 true"),
        expect: "history: NPM_TOKEN is given a value",
    },
    Breakage {
        check: "command",
        how: "boots whatever it is asked to run",
        change: Binary(r#"exec "$real" boot"#),
        expect: "`id` ended with 10",
    },
    Breakage {
        check: "command",
        how: "exit codes are lost",
        change: Binary(SWALLOWS_FAILURES),
        expect: "`no-such-command` ended with 0, not 127",
    },
    // boots.rs
    Breakage {
        check: "fresh-boot",
        how: "a migration fails",
        change: Image("RUN echo 'select 1 / 0;' >> /directus/db-init/001_extensions.sql"),
        expect: "ended with 31",
    },
    Breakage {
        check: "fresh-boot",
        how: "a snapshot with shorter columns",
        change: Image(r#"RUN sed -i "s/max_length: 255/max_length: 254/" /directus/snapshots/schema.yaml"#),
        expect: "max length is 254, not 255",
    },
    Breakage {
        check: "warm-boot",
        how: "the ledger forgets a migration",
        change: Sql("delete from boot.migrations where phase = 'db-init'
                 and filename = (select max(filename) from boot.migrations where phase = 'db-init')"),
        expect: "db-init said `1 applied, ",
    },
    Breakage {
        check: "read-only-root",
        how: "the boot writes into /directus",
        change: Binary(r#"touch /directus/marker || exit 1; exec "$real" "$@""#),
        expect: "Read-only file system",
    },
    Breakage {
        check: "extension",
        how: "extensions are looked for elsewhere",
        change: Image("ENV EXTENSIONS_PATH=/tmp/extensions"),
        expect: "the log has no `Loaded extensions",
    },
    Breakage {
        check: "extension",
        how: "what bundles extensions for the app is gone",
        change: Image("RUN rm -r /directus/node_modules/.pnpm/rollup@*"),
        expect: "without trm-verify-display",
    },
    // data.rs
    Breakage {
        check: "restart-keeps-rows",
        how: "every boot empties a table",
        change: Sql("do 'begin execute (select format(''truncate %I cascade'', relname) from pg_class
                 where relnamespace = ''public''::regnamespace and relkind = ''r'' and relname not like ''directus%''
                 order by relname limit 1); end'"),
        expect: "rows and has 0",
    },
    Breakage {
        check: "stale-snapshot",
        how: "every plan is allowed",
        change: Binary(
            r#"case "$1" in boot) ;; *) exec "$real" "$@";; esac
            said=$("$real" "$@"); code=$?; echo "$said"
            digest=$(echo "$said" | sed -n "s/.*SCHEMA_ALLOW_DESTRUCTIVE=\([0-9a-f]*\).*/\1/p")
            [ -n "$digest" ] || exit $code
            SCHEMA_ALLOW_DESTRUCTIVE=$digest exec "$real" "$@""#,
        ),
        expect: "the stale snapshot ended with 0",
    },
    Breakage {
        check: "ten-boots",
        how: "a boot that says all is well and empties a table",
        change: Binary(r#"sql "truncate team_spreadsheet"; echo "[entrypoint] 6/8 schema: no changes (1 ms)""#),
        expect: "team_spreadsheet had 7 rows and has 0",
    },
    // standing.rs
    Breakage {
        check: "no-node",
        how: "there is something to do",
        change: Image("ENV BOOT_LOCK_TIMEOUT=3\nRUN echo 'select 1;' > /directus/db-init/899_more.sql"),
        expect: "it ended with 22",
    },
    Breakage {
        check: "live-edits",
        how: "a boot that knows nothing of fingerprints",
        change: Sql("update boot.snapshots set fingerprint = null"),
        expect: "before any edit the schema is said to be applied, and edited since",
    },
    Breakage {
        check: "plan",
        how: "looking changes something",
        change: Binary(
            r#"case "$1" in plan) sql "create table if not exists public.seen (at timestamptz)";; esac; exec "$real" "$@""#,
        ),
        expect: "plan has changed an empty database",
    },
    Breakage {
        check: "older-image",
        how: "the lineage is forgotten",
        change: Sql("delete from boot.snapshots where image not like '2.0%' and image not like '3.0%'"),
        expect: "ended with 45",
    },
    // snapshots.rs
    Breakage {
        check: "edits-are-edits",
        how: "an edit of a collection is planned as its deletion",
        change: Image(
            r#"RUN sed -i "s/\[{ collection, diff, have, want }\]/[{ collection, diff: [{ kind: 'D' }], have, want }]/" /directus/scripts/compare.mjs"#,
        ),
        expect: "live edits ended with 43",
    },
    Breakage {
        check: "edits-are-edits",
        how: "every boot empties a column",
        change: Sql("update laps set note = null"),
        expect: "rows of laps have changed",
    },
    Breakage {
        check: "sound-snapshots",
        how: "an envelope is not opened",
        change: Image(
            r#"RUN sed -i "s/return isEnvelope ? document.data : document/return document/" /directus/scripts/snapshot.mjs"#,
        ),
        expect: "envelope ended with 41",
    },
    Breakage {
        check: "sound-snapshots",
        how: "`skip` is not obeyed",
        change: Binary(r#"unset SCHEMA_APPLY_MODE; exec "$real" "$@""#),
        expect: "skip with an unreadable snapshot ended with 41",
    },
    // versions.rs
    Breakage {
        check: "versions",
        how: "a key of another version is not left out",
        change: Image(
            r#"RUN sed -i "s/if (column === undefined || column.alias) warnings.unknownKey(entity, key, place);/if (false) return;/" /directus/scripts/compare.mjs"#,
        ),
        expect: "12.4.1 ended with",
    },
    Breakage {
        check: "versions-with-rows",
        how: "every boot empties a table",
        change: Sql("delete from articles_topics"),
        expect: "articles_topics",
    },
    // witness.rs
    Breakage {
        check: "undeclared-loss",
        how: "the boot declares what files destroy",
        change: Binary(
            r#"case "$1" in boot) ;; *) exec "$real" "$@";; esac
            cp -r "$BOOT_DB_INIT_DIR" /tmp/declared
            for file in /tmp/declared/*_loss.sql; do
                [ ! -f "$file" ] || sed -i '1i -- destroys: table sponsors, rows of visits' "$file"
            done
            BOOT_DB_INIT_DIR=/tmp/declared exec "$real" "$@""#,
        ),
        expect: "the exit code is 0, not 43",
    },
    Breakage {
        check: "undeclared-loss",
        how: "a boot that is refused has deleted rows",
        change: Sql("delete from visits"),
        expect: "refused, but pg_dump differs",
    },
    Breakage {
        check: "rolled-back-apply",
        how: "the witness is switched off: it sees nothing of Directus' transactions",
        change: Image(BLIND_WITNESS),
        expect: "table visits with 5 rows is gone",
    },
    Breakage {
        check: "rolled-back-apply",
        how: "Directus' process commits when the boot rolls back",
        change: Image(COMMITS_ROLLBACKS),
        expect: "table visits with 5 rows is gone",
    },
    Breakage {
        check: "rolled-back-apply",
        how: "no digest allows a loss",
        change: Binary(r#"unset SCHEMA_ALLOW_DESTRUCTIVE; exec "$real" "$@""#),
        expect: ", the losses ended with 43",
    },
    Breakage {
        check: "lock-is-kept",
        how: "a boot ends the sessions of the boot before it",
        change: Sql("select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and application_name like 'boot of %'"),
        expect: "a second boot: the exit code is 0, not 22",
    },
    Breakage {
        check: "rehearse",
        how: "plan locks a table against readers",
        change: Binary(
            r#"case "$1 $2" in "plan --json") sql "begin; lock table laps in access exclusive mode; commit";; esac
            exec "$real" "$@""#,
        ),
        expect: "plan waits for a reader's transaction",
    },
    Breakage {
        check: "rehearse",
        how: "Directus' process commits when the boot rolls back",
        change: Image(COMMITS_ROLLBACKS),
        expect: "the rehearsal has changed the database",
    },
    Breakage {
        check: "rehearse",
        how: "the time limit is another one than was asked for",
        change: Binary(r#"[ "$4" != 3 ] || set -- plan --rehearse --timeout 30; exec "$real" "$@""#),
        expect: "with --timeout 3 the rehearsal took",
    },
    // attic.rs
    Breakage {
        check: "attic",
        how: "`attic restore` restores nothing",
        change: Binary(r#"case "$1 $2" in "attic restore") exit 0;; esac; exec "$real" "$@""#),
        expect: "the table laps was not restored",
    },
    Breakage {
        check: "attic",
        how: "the retention is always thirty days",
        change: Binary(r#"BOOT_ATTIC_DAYS=30 exec "$real" "$@""#),
        expect: "BOOT_ATTIC_DAYS=0, and the attic still holds",
    },
    // replicas.rs
    Breakage {
        check: "twenty-at-once",
        how: "whoever does not come first gives up",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "ended with 22",
    },
    Breakage {
        check: "five-at-once",
        how: "whoever does not come first gives up",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "ended with 22",
    },
    // stack.rs
    Breakage {
        check: "dev-reset",
        how: "an image that does not boot",
        change: Image("RUN echo 'select 1 / 0;' >> /directus/db-init/001_extensions.sql"),
        expect: "division by zero",
    },
    // browser.rs
    Breakage {
        check: "admin-ui",
        how: "the admin UI is not served",
        change: Image("ENV SERVE_APP=false"),
        expect: "no login form within",
    },
    // faults.rs
    Breakage {
        check: "killed-in-db-init",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "the exit code is 0, not 23",
    },
    Breakage {
        check: "killed-in-bootstrap",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "the exit code is 0, not 23",
    },
    Breakage {
        check: "killed-in-schema",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "the exit code is 0, not 23",
    },
    Breakage {
        check: "killed-in-post-schema",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "the exit code is 0, not 23",
    },
    Breakage {
        check: "frozen",
        how: "the timeout is another one than was asked for",
        change: Binary(r#"BOOT_DATABASE_TIMEOUT=7 exec "$real" "$@""#),
        expect: "the last line does not say `within 3 s`",
    },
    Breakage {
        check: "late-database",
        how: "the boot gives up after a second",
        change: Binary(r#"BOOT_DATABASE_TIMEOUT=1 exec "$real" "$@""#),
        expect: "it ended with 20",
    },
    // sweep.rs
    Breakage {
        check: "sweep",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "it exited 0, but the database is not done",
    },
    Breakage {
        check: "sweep",
        how: "no boot goes on where another one stopped",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "the next boot: it ended with 22",
    },
    // search.rs
    Breakage {
        check: "search",
        how: "the schema apply empties a table, and the witness is switched off",
        change: Image(UNSEEN_LOSS),
        expect: "lost: 6 rows of readings",
    },
    Breakage {
        check: "search",
        how: "failures look like successes",
        change: Binary(SWALLOWS_FAILURES),
        expect: "exit code 0, and a phase failed",
    },
    // signals.rs
    Breakage {
        check: "sigterm-in-each-phase",
        how: "a shell is the first process and passes no signal on",
        change: Binary(KEEPS_SIGNALS),
        expect: "the exit code is 20, not 143",
    },
    Breakage {
        check: "sigterm-while-serving",
        how: "a shell is the first process and passes no signal on",
        change: Binary(KEEPS_SIGNALS),
        expect: "its log does not say that it shuts down",
    },
    // health.rs
    Breakage {
        check: "health",
        how: "the health check always says yes",
        change: Image(r#"HEALTHCHECK CMD ["true"]"#),
        expect: "its health is Healthy, not starting",
    },
    Breakage {
        check: "hanging-server",
        how: "the health check asks whether the port is open",
        change: Image(
            r#"HEALTHCHECK --start-period=120s CMD ["node", "-e", "require('net').connect(8055).on('connect', () => process.exit(0)).on('error', () => process.exit(1))"]"#,
        ),
        expect: "it is Healthy, not Unhealthy",
    },
    // secrets.rs
    Breakage {
        check: "secrets-from-files",
        how: "a password that is given twice is taken",
        change: Binary(
            r#"[ -z "$DB_PASSWORD" ] || [ -z "$DB_PASSWORD_FILE" ] || unset DB_PASSWORD_FILE
            exec "$real" "$@""#,
        ),
        expect: "`DB_PASSWORD and DB_PASSWORD_FILE are both set` is not said",
    },
    Breakage {
        check: "secrets-from-files",
        how: "the file's path is taken for the password",
        change: Binary(
            r#"[ -n "$DB_PASSWORD" ] || { export DB_PASSWORD="$DB_PASSWORD_FILE"; unset DB_PASSWORD_FILE; }
            exec "$real" "$@""#,
        ),
        expect: "ended with 21",
    },
    Breakage {
        check: "no-secret-in-logs",
        how: "the boot logs the password that it connects with",
        change: Binary(r#"echo "connecting as $DB_USER with $DB_PASSWORD"; exec "$real" "$@""#),
        expect: "the value of DB_PASSWORD is in the log of wrong-password",
    },
];
