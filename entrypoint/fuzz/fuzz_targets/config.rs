//! Parsing the configuration never panics, and its errors never contain a secret.
#![no_main]

use contract::VARIABLES;
use entrypoint::config::{Config, Env};
use libfuzzer_sys::fuzz_target;

/// Part of every secret value, and of no other value.
const SECRET: &str = "hunter2";

fuzz_target!(|pairs: Vec<(u8, bool, String)>| {
    let mut variables = Vec::new();
    for (which, in_file, value) in pairs {
        let variable = &VARIABLES[usize::from(which) % VARIABLES.len()];
        if value.contains(SECRET) {
            continue;
        }
        let (name, value) = match (in_file, variable.secret) {
            // The folder does not exist, so that no file of this machine is read.
            (true, _) => (format!("{}_FILE", variable.name), format!("/no-such-folder/{value}")),
            (false, true) if value.len() % 2 == 0 => (variable.name.to_owned(), format!("{SECRET}{value}")),
            (false, true) => (variable.name.to_owned(), format!("{value}{SECRET}")),
            (false, false) => (variable.name.to_owned(), value),
        };
        variables.push((name, value));
    }
    let env: Env = variables.into_iter().collect();
    if let Err(problems) = Config::from_env(&env) {
        assert!(!problems.to_string().contains(SECRET), "a secret is in: {problems}");
    }
});
