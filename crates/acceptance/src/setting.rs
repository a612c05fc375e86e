//! Shared by all checks of a run: the engine, the image under test, and the secrets that must not be seen.

use std::rc::Rc;
use std::time::Duration;

use testbed::engine::{Engine, FileContent, LayerFile};
use testbed::migrations::Migrations;
use testbed::run::Run;
use tokio::sync::OnceCell;

use crate::model::Subject;

/// Time for a boot, or for the server's start, before a check gives up on it. Generous: machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Shared by all checks of a run.
pub struct Setting {
    /// The engine.
    pub engine: Engine,
    /// Owns everything that is made.
    pub run: Rc<Run>,
    /// The image under test.
    pub subject: Subject,
    /// The SQL files of the checkout.
    pub migrations: Rc<Migrations>,
    /// Session options that the database at hand needs: a stand-in lacks extensions.
    pub options: Option<String>,
    /// Values that must never be seen in any log.
    pub secrets: Secrets,
    /// Every path of the image, once they were read.
    pub contents: OnceCell<Rc<Vec<FileContent>>>,
    /// The files that the image adds to its base, once they were read.
    pub added_files: OnceCell<Rc<Vec<LayerFile>>>,
}

/// Values that must never be seen in any log, made anew for each run.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The database's password.
    pub database: String,
    /// Directus' SECRET.
    pub secret: String,
    /// The administrator's password.
    pub admin: String,
}

impl Secrets {
    /// Secrets that occur nowhere by chance.
    pub fn new(run: &str) -> Secrets {
        let secret = |what: &str| format!("hunter2-{what}-{run}-0123456789abcdef");
        Secrets { database: secret("database"), secret: secret("secret"), admin: secret("admin") }
    }

    /// All of them.
    pub fn all(&self) -> [&str; 3] {
        [&self.database, &self.secret, &self.admin]
    }
}

/// The administrator that boots make.
pub const ADMIN: &str = "admin@example.com";
