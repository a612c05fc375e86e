//! Directus' custom migrations (`MIGRATIONS_PATH`) are part of the image.

mod common;

use common::{BootResult, Database, Image, run};
use contract::ExitCode;

async fn apply(database: &Database, version: &str) {
    let client = database.connect().await;
    client.execute("insert into directus_migrations values ($1)", &[&version]).await.expect("a table");
}

fn boot(image: &Image, database: &Database) -> BootResult {
    run(image.boot(database.url()).env("MIGRATIONS_PATH", image.path("migrations")))
}

#[tokio::test]
async fn an_applied_custom_migration_of_the_image_is_not_a_newer_directus() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("migrations/20990901A-view.js", "");
    apply(&database, "20990901A").await;
    assert_eq!(boot(&image, &database).code, 0);
    let again = boot(&image, &database);
    assert_eq!(again.code, 0, "{}", again.output);
    assert!(again.output.contains("not needed, everything is in place"), "{}", again.output);

    // An image without the file is older than the database.
    let older = boot(&Image::new(), &database);
    older.assert_failed("bootstrap", ExitCode::ImageTooOld, &["this image with Directus 0 lacks: 20990901A"]);
}

#[tokio::test]
async fn a_new_custom_migration_is_pending_on_a_warm_database() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(boot(&image, &database).code, 0);
    image.write("migrations/20990901A-view.mjs", "");
    let mut plan = image.command(database.url(), &["plan"]);
    let output = plan.env("MIGRATIONS_PATH", image.path("migrations")).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(i32::from(ExitCode::ChangesPending.code())), "{text}");
    assert!(text.contains("run Directus' migrations 20990901A"), "{text}");
}

#[tokio::test]
async fn two_migrations_with_one_version_are_refused() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("migrations/20200101A-again.js", "");
    let refused = boot(&image, &database);
    refused.assert_failed("config", ExitCode::Config, &["two migrations have the version 20200101A"]);
}
