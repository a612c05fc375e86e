//! The context that all checks of a run share: the engine, the image under test, and secrets that no log may contain.

use std::rc::Rc;
use std::time::Duration;

use testbed::engine::{Engine, FileContent, LayerFile};
use testbed::migrations::CheckoutMigrations;
use testbed::session::EngineSession;
use tokio::sync::OnceCell;

use crate::model::TestedImage;

/// Time limit of a boot or of the server's start. Generous, because machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The context that all checks of a run share.
pub struct SuiteContext {
    /// The engine that runs all containers.
    pub engine: Engine,
    /// The run, which owns everything that the checks create.
    pub session: Rc<EngineSession>,
    /// The image under test.
    pub subject: TestedImage,
    /// The SQL files of the checkout.
    pub migrations: Rc<CheckoutMigrations>,
    /// Values that no log may contain.
    pub secrets: Secrets,
    /// Every path of the image, once read.
    pub contents: OnceCell<Rc<Vec<FileContent>>>,
    /// The files that the image adds to its base, once read.
    pub added_files: OnceCell<Rc<Vec<LayerFile>>>,
}

/// Values that no log may contain, generated for each run.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Password of the database role.
    pub database: String,
    /// Value of the variable SECRET, with which Directus signs tokens.
    pub secret: String,
    /// Password of the first administrator.
    pub admin: String,
}

impl Secrets {
    /// Generates secrets that cannot occur anywhere by chance.
    pub fn new(session: &str) -> Secrets {
        let [database, secret, admin] =
            ["database", "secret", "admin"].map(|name| format!("hunter2-{name}-{session}-0123456789abcdef"));
        Secrets { database, secret, admin }
    }

    /// The secrets in the order of the variables DB_PASSWORD, SECRET and ADMIN_PASSWORD.
    pub fn all(&self) -> [&str; 3] {
        [&self.database, &self.secret, &self.admin]
    }
}

/// Email address of the first administrator.
pub const ADMIN: &str = "admin@example.com";
