//! SQL files: statements that keep, change, move or destroy data, with and without the required directive.

use super::super::case::{SearchEdit, SqlFolder};
use super::super::rng::Rng;

/// A table for statements to act on.
struct EditSubject {
    table: &'static str,
    /// Column that statements compare: the first of the primary key, if there is one.
    key: &'static str,
    /// Text column without dependents.
    text: &'static str,
    /// Numeric column without dependents.
    number: &'static str,
    /// Tables whose rows are deleted with its own.
    dependents: &'static [&'static str],
}

const SUBJECTS: &[EditSubject] = &[
    EditSubject { table: "sites", key: "id", text: "code", number: "ratio", dependents: &["site_visits", "site_days"] },
    EditSubject { table: "site_visits", key: "id", text: "note", number: "amount", dependents: &[] },
    EditSubject { table: "site_days", key: "site", text: "value", number: "site", dependents: &[] },
    EditSubject { table: "readings", key: "value", text: "device", number: "value", dependents: &[] },
    EditSubject { table: "measurements", key: "id", text: "value", number: "id", dependents: &[] },
    EditSubject { table: "archive_base", key: "id", text: "note", number: "id", dependents: &["archive_child"] },
    EditSubject { table: "rules", key: "id", text: "expression", number: "weight", dependents: &[] },
    EditSubject { table: "notes", key: "id", text: "words", number: "number", dependents: &[] },
    EditSubject { table: "types_unique", key: "id", text: "a_string", number: "an_integer", dependents: &[] },
    EditSubject { table: "block_text", key: "id", text: "content", number: "id", dependents: &[] },
    EditSubject { table: "letters", key: "id", text: "printed_at", number: "id", dependents: &[] },
    EditSubject { table: "directus_presets", key: "id", text: "layout", number: "refresh_interval", dependents: &[] },
];

/// Statements, with the data that they destroy and change.
struct Statements {
    sql: String,
    destroys: Vec<String>,
    changes: Vec<String>,
    /// The statements cannot run in a transaction.
    alone: bool,
}

impl Statements {
    fn new(sql: impl Into<String>) -> Statements {
        Statements { sql: sql.into(), destroys: Vec::new(), changes: Vec::new(), alone: false }
    }

    fn destroys(mut self, item: impl Into<String>) -> Statements {
        self.destroys.push(item.into());
        self
    }

    fn changes(mut self, item: impl Into<String>) -> Statements {
        self.changes.push(item.into());
        self
    }

    fn alone(mut self) -> Statements {
        self.alone = true;
        self
    }
}

/// Returns one new SQL file.
pub(super) fn edit(rng: &mut Rng) -> Vec<SearchEdit> {
    let mut parts = vec![statements(rng)];
    if !parts[0].alone && rng.chance(25) {
        let second = statements(rng);
        if !second.alone {
            parts.push(second);
        }
    }
    let mut destroys: Vec<String> = parts.iter().flat_map(|part| part.destroys.clone()).collect();
    destroys.sort();
    destroys.dedup();
    let changes = parts.iter().flat_map(|part| part.changes.clone()).collect();
    match rng.below(10) {
        // No directive.
        0..=3 => destroys.clear(),
        // One of several items is missing.
        4 if destroys.len() > 1 => drop(destroys.pop()),
        // A directive for a loss that does not occur.
        5 => destroys = vec!["rows of numbers_that_are_not".to_owned()],
        _ => {}
    }
    let mut text = String::new();
    if !destroys.is_empty() {
        text = format!("-- destroys: {}\n", destroys.join(", "));
    }
    if parts.iter().any(|part| part.alone) {
        text.push_str("-- no-transaction\n");
    }
    for part in &parts {
        text.push_str(&part.sql);
        text.push_str(";\n");
    }
    let folder = if rng.chance(70) { SqlFolder::DbInit } else { SqlFolder::PostSchema };
    vec![SearchEdit::Sql { folder, text, changes }]
}

fn statements(rng: &mut Rng) -> Statements {
    let EditSubject { table, key, text, number, dependents } = *rng.pick(SUBJECTS);
    match rng.below(4) {
        0 => removes_rows(rng, table, key, dependents),
        1 => changes_shape(rng, table, text, number),
        2 => keeps(rng, table, key, text),
        _ => curious(rng),
    }
}

/// Statements that lose no data.
fn plain(sql: impl Into<String>) -> Statements {
    Statements::new(sql)
}

/// Statements that lose rows of a table.
fn rows(sql: impl Into<String>, table: &str) -> Statements {
    Statements::new(sql).destroys(format!("rows of {table}"))
}

/// Statements that lose values of a column, named with its table: `sites.code`.
fn column(sql: impl Into<String>, name: &str) -> Statements {
    Statements::new(sql).destroys(format!("column {name}"))
}

fn removes_rows(rng: &mut Rng, table: &str, key: &str, dependents: &[&str]) -> Statements {
    let one = format!("{key} = (select min({key}) from {table})");
    let sql = match rng.below(16) {
        0 => format!("delete from {table} where {one}"),
        1 => format!("delete from {table}"),
        2 => format!("truncate {table}"),
        3 => format!("truncate table public.{table} cascade"),
        4 => format!("do $$ begin execute 'delete from {table} where {}'; end $$", one.replace('\'', "''")),
        5 => format!(
            "do $$ declare r record; begin for r in select * from {table} loop delete from {table} where {key} = r.{key}; end loop; end $$"
        ),
        6 => format!("with gone as (delete from {table} where {one} returning *) select count(*) from gone"),
        7 => format!("create table {table}_moved as select * from {table}; delete from {table}"),
        8 => format!(
            "with gone as (delete from {table} returning *) insert into readings (device) select 'moved ' || {key} from gone"
        ),
        9 => format!(
            "merge into {table} t using (select min({key}) as k from {table}) s on t.{key} = s.k when matched then delete"
        ),
        10 => format!(
            "create function empty_it() returns bigint language sql as $$ with gone as (delete from {table} returning 1) select count(*) from gone $$; select empty_it()"
        ),
        11 => format!(
            "alter table {table} disable trigger all; delete from {table} where {one}; alter table {table} enable trigger all"
        ),
        12 => format!("set local session_replication_role = replica; delete from {table} where {one}"),
        13 => format!("set local track_counts = off; delete from {table} where {one}"),
        14 => return Statements::new(format!("drop table {table}")).destroys(format!("table {table}")),
        _ => {
            let dropped = Statements::new(format!("drop table if exists public.{table} cascade"))
                .destroys(format!("table {table}"));
            // A table that inherits from it is dropped too.
            return if table == "archive_base" { dropped.destroys("table archive_child") } else { dropped };
        }
    };
    let statements = rows(sql, table);
    dependents.iter().fold(statements, |statements, other| statements.destroys(format!("rows of {other}")))
}

fn changes_shape(rng: &mut Rng, table: &str, text: &str, number: &str) -> Statements {
    let (text_column, number_column) = (format!("{table}.{text}"), format!("{table}.{number}"));
    match rng.below(19) {
        0 => column(format!("alter table {table} drop column {text}"), &text_column),
        1 => column(format!("alter table public.{table} drop column if exists {number} cascade"), &number_column),
        2 => column(
            format!(
                "alter table {table} drop column {text}; alter table {table} add column {text} text default 'again'"
            ),
            &text_column,
        ),
        3 => column(
            format!("alter table {table} alter column {text} type varchar(3) using left({text}, 3)"),
            &text_column,
        ),
        4 => column(
            format!("alter table {table} alter column {number} type integer using round({number})::integer"),
            &number_column,
        ),
        5 => column(
            format!("alter table {table} alter column {number} type numeric(12, 0) using {number}::numeric(12, 0)"),
            &number_column,
        ),
        6 => column(format!("alter table {table} alter column {text} type jsonb using null"), &text_column),
        // The type is the same before and after, but a cast in between truncates the values.
        7 => column(
            format!(
                "alter table {table} alter column {text} type varchar(2) using left({text}, 2); alter table {table} alter column {text} type text"
            ),
            &text_column,
        ),
        8 => column(
            format!(
                "alter table {table} add column {text}_new varchar(3); update {table} set {text}_new = left({text}, 3); alter table {table} drop column {text}; alter table {table} rename column {text}_new to {text}"
            ),
            &text_column,
        ),
        9 => plain(format!("alter table {table} alter column {text} type text")),
        10 => plain(format!("alter table {table} alter column {number} type numeric using {number}::numeric")),
        11 => plain(format!("alter table {table} rename column {text} to {text}_renamed")),
        12 => plain(format!(
            "alter table {table} rename column {text} to swapped; alter table {table} rename column {number} to {text}; alter table {table} rename column swapped to {number}"
        )),
        13 => plain(format!("alter table {table} rename to {table}_renamed")),
        14 => plain(format!("alter table {table} add column extra text not null default 'more'")),
        15 => plain(format!(
            "alter table {table} alter column {text} set default 'other'; comment on column {table}.{text} is 'a comment'"
        )),
        16 => plain(format!("create schema if not exists archive; alter table {table} set schema archive")),
        17 => {
            plain(format!("alter table {table} alter column {text} type text using upper({text})")).changes(text_column)
        }
        // A copy with the same values, renamed, replaces the column.
        _ => column(
            format!(
                "alter table {table} add column kept text; update {table} set kept = {text}::text; alter table {table} drop column {text}; alter table {table} rename column kept to {text}"
            ),
            &text_column,
        ),
    }
}

fn keeps(rng: &mut Rng, table: &str, key: &str, text: &str) -> Statements {
    let all = format!("{table}.*");
    match rng.below(16) {
        0 => plain(format!("update {table} set {text} = 'updated' where {key} = (select min({key}) from {table})")).changes(format!("{table}.{text}")),
        1 => plain(format!("update {table} set {text} = null")).changes(format!("{table}.{text}")),
        2 => plain(format!("do $$ begin begin delete from {table}; raise exception 'not this'; exception when others then null; end; end $$")),
        3 => plain(format!("do $$ begin begin truncate {table} cascade; raise exception 'not this'; exception when others then null; end; end $$")),
        4 => plain(format!("create temporary table kept on commit drop as select * from {table}; delete from {table} where {key} is null")),
        5 => plain(format!("create temporary table {table} (id integer); insert into {table} values (1); drop table {table}")),
        6 => plain(format!("create index {table}_found on public.{table} ({text})")),
        7 => plain(format!("create index concurrently if not exists {table}_slowly on public.{table} ({text}, {key})")).alone(),
        8 => plain(format!("create view {table}_view as select {key}, {text} from {table}")),
        9 => plain(format!("alter table {table} set (fillfactor = 70); cluster")).alone(),
        10 => plain(format!("alter table {table} set unlogged; alter table {table} set logged")),
        11 => plain(format!("lock table {table} in access exclusive mode; select count(*) from {table}")),
        // A new table of the same name gets all or some of the rows.
        12 => plain(format!("create table {table}_new (like {table} including all); insert into {table}_new overriding system value select * from {table}; drop table {table}; alter table {table}_new rename to {table}"))
            .destroys(format!("table {table}")),
        13 => plain(format!("create table {table}_new (like {table} including all); insert into {table}_new select * from {table} where {key} > (select min({key}) from {table}); drop table {table} cascade; alter table {table}_new rename to {table}"))
            .destroys(format!("table {table}")).changes(all),
        14 => plain(format!("alter table {table} rename to {table}_old; create table {table} (like {table}_old including all); insert into {table} overriding system value select * from {table}_old")),
        _ => plain(format!("create temporary table kept on commit drop as select * from {table}; alter table {table} disable trigger all; delete from {table}; insert into {table} overriding system value select * from kept; alter table {table} enable trigger all")),
    }
}

/// Returns unusual statements, each written for one table.
fn curious(rng: &mut Rng) -> Statements {
    let all: Vec<Statements> = vec![
        // Partitions.
        rows("drop table measurements_2025", "measurements"),
        rows("truncate measurements_2026", "measurements"),
        rows("alter table measurements detach partition measurements_2025; drop table measurements_2025", "measurements"),
        plain("alter table measurements detach partition measurements_2025"),
        plain("alter table measurements detach partition measurements_2025; alter table measurements attach partition measurements_2025 for values from ('2025-01-01') to ('2026-01-01')"),
        plain("update measurements set day = day + 300 where id = 1").changes("measurements.*"),
        rows("delete from measurements where day < '2026-01-01'", "measurements"),
        plain("create table measurements_2027 partition of measurements for values from ('2029-01-01') to ('2030-01-01')"),
        // Cascades.
        rows("delete from sites where id = 2", "site_visits").destroys("rows of sites").destroys("rows of site_days"),
        rows("delete from articles where title = (select min(title) from articles)", "articles").destroys("rows of articles_blocks").destroys("rows of articles_translations").destroys("rows of letters"),
        rows("delete from topics where id = (select max(id) from topics)", "topics").changes("articles_topics.topics_id"),
        rows("delete from directus_users where email = 'user4@example.com'", "directus_users").changes("articles.author").changes("articles.user_created").changes("articles.user_updated").changes("junction_directus_users_venues.*"),
        rows("delete from directus_files", "directus_files").changes("articles.hero").changes("articles_files.*").changes("site.logo"),
        // Objects that a column depends on, and casts.
        column("drop type mood cascade", "sites.mood"),
        column("drop domain percent cascade", "sites.filled"),
        plain("drop sequence rules_id_seq cascade"),
        plain("drop function touched() cascade"),
        plain("drop sequence numbers"),
        plain("drop view site_names; alter table sites alter column mood type text"),
        plain("alter type mood rename value 'calm' to 'quiet'").changes("sites.mood"),
        plain("alter type mood add value 'full'"),
        column("alter table sites drop column id cascade", "sites.id"),
        column("alter table sites alter column seen type date", "sites.seen"),
        plain("alter table sites alter column tags type text using tags::text"),
        plain("alter table readings alter column extra type jsonb"),
        column("alter table sites alter column tags type text[] using null", "sites.tags"),
        column("alter table sites alter column score type numeric(10, 0)", "sites.score"),
        plain("alter table sites alter column score type numeric(12, 4)"),
        plain("alter table notes alter column number type bigint"),
        column("alter table notes alter column words type varchar(6) using words::varchar(6)", "notes.words"),
        column("alter table notes alter column number type smallint using (number % 1000)::smallint", "notes.number"),
        column("alter table site_visits alter column amount type boolean using amount > 10", "site_visits.amount"),
        column("alter table types_nullable alter column a_timestamp type date", "types_nullable.a_timestamp"),
        column("alter table readings alter column value type real", "readings.value"),
        column("alter table sites alter column ratio type real", "sites.ratio"),
        // Keys.
        plain("update notes set id = id + 1000").changes("notes.*"),
        plain("alter table notes drop constraint notes_pkey; alter table notes add column number_of serial primary key"),
        plain("alter table site_visits alter column id drop identity; alter table site_visits alter column id add generated always as identity"),
        plain("alter table sites rename to swapped; alter table notes rename to sites; alter table swapped rename to notes"),
        // Rules, triggers, policies and inheritance.
        rows("create rule no_update as on update to rules do instead delete from rules where id = old.id; update rules set weight = 1", "rules"),
        rows("create function remove_it() returns trigger language plpgsql as $$ begin delete from readings; return new; end $$; create trigger removes before insert on notes for each row execute function remove_it(); insert into notes values (50, 'x', 'y', 1)", "readings"),
        plain("create rule no_delete as on delete to rules do instead nothing; delete from rules"),
        plain("alter table notes enable row level security; create policy none on notes using (false)"),
        rows("alter table archive_child no inherit archive_base; drop table archive_child", "archive_child").destroys("table archive_child"),
        plain("alter table archive_child no inherit archive_base"),
        rows("delete from archive_base where id = 3", "archive_child").destroys("rows of archive_base"),
        rows("delete from only archive_base where id = 1", "archive_base"),
        rows("truncate only archive_base", "archive_base"),
        // Without a transaction.
        rows("delete from notes where id = 1", "notes").alone(),
        rows("truncate readings", "readings").alone(),
        Statements::new("drop table rules").destroys("table rules").alone(),
        column("alter table notes drop column words", "notes.words").alone(),
        plain("vacuum full notes").alone(),
        plain("vacuum analyze sites").alone(),
        rows("do $$ begin delete from notes; end $$", "notes").alone(),
        // Manipulation of the statistics, roles and names that a witness might rely on.
        rows("delete from readings; select pg_stat_reset()", "readings"),
        rows("select pg_stat_force_next_flush(); delete from readings where value < 0.3", "readings"),
        rows("set track_counts = off; truncate readings", "readings"),
        rows("select set_config('track_counts', 'off', false); delete from site_days", "site_days"),
        rows("set local role pg_monitor; reset role; delete from notes where id = 3", "notes"),
        rows("set local search_path = pg_temp; delete from public.notes", "notes"),
        rows("create table pg_temp.notes (id integer); delete from public.notes", "notes"),
        // Rows that are back, entirely or in part, before the end of the file.
        plain("create temporary table kept as select * from readings; truncate readings; insert into readings select * from kept"),
        plain("create temporary table kept as select * from notes; delete from notes; insert into notes select * from kept"),
        rows("create temporary table kept as select * from notes; delete from notes; insert into notes select * from kept where id > 1", "notes"),
        rows("create temporary table kept as select * from readings; truncate readings; insert into readings select device, at, 0, extra from kept", "readings"),
        rows("delete from readings where value < 0.3; insert into readings (device) values ('a new one')", "readings"),
        rows("delete from notes where id = 1; insert into notes values (1, 'another', null, 5)", "notes").changes("notes.*"),
        rows("update notes set id = 70 where id = 1; delete from notes where id = 2; insert into notes values (1), (2)", "notes").changes("notes.*"),
        rows("delete from readings; delete from readings", "readings"),
        // Locks and sessions.
        rows("select pg_advisory_unlock_all(); delete from notes where id = 2", "notes"),
        plain("set local lock_timeout = 0; set local statement_timeout = 0; select 1"),
        plain("prepare one as select 1; execute one; deallocate one; listen channel"),
        plain("create schema attic_of_mine; create table attic_of_mine.one as select * from notes"),
        Statements::new("create schema if not exists attic; alter table notes set schema attic").destroys("table notes"),
        Statements::new("create schema if not exists attic; alter table notes set schema attic; alter table attic.notes set schema public"),
        Statements::new("create schema archive; alter table rules set schema archive; drop schema archive cascade").destroys("table rules"),
        Statements::new("drop table site_visits, site_days").destroys("table site_visits").destroys("table site_days"),
        Statements::new("drop table measurements").destroys("table measurements"),
        Statements::new("drop table measurements_rest").destroys("rows of measurements"),
        Statements::new("update rules set expression = 'x'; drop table rules").destroys("table rules").changes("rules.*"),
        Statements::new("delete from rules where id = 1; drop table rules").destroys("table rules"),
        Statements::new("drop table rules; create table rules (id integer primary key)").destroys("table rules"),
        Statements::new("drop table rules; create table rules (id serial primary key, expression text not null, weight real); insert into rules (expression) values ('new')").destroys("table rules"),
        Statements::new("drop table venues cascade").destroys("table venues"),
        Statements::new("drop table articles_topics").destroys("table articles_topics"),
        Statements::new("alter table topics drop column parent").destroys("column topics.parent"),
        Statements::new("alter table letters drop constraint if exists letters_article_foreign; alter table venues alter column capacity drop default"),
        Statements::new("drop index if exists articles_live, sites_seen; alter table topics drop constraint topics_name_length"),
    ];
    let chosen = rng.below(all.len());
    all.into_iter().nth(chosen).unwrap_or_else(|| Statements::new("select 1"))
}
