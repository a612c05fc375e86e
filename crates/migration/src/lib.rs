//! The SQL files of the checkout: `migration new`, `list` and `lint`.

mod checkout;
pub mod database;
pub mod lint;
pub mod list;
pub mod new_file;
