//! A database that moves to a newer PostgreSQL by dump and restore.

use anyhow::ensure;
use contract::Phase;
use grammar::PostgresVersion;
use testbed::base_images::BaseImage;

use crate::check::{Check, Need, NotRun};
use crate::data_integrity;
use crate::database::USER;
use crate::sample::{self, Sample};
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "restored-dump",
    promise: "A dump of the oldest PostgreSQL, restored into this one, boots and keeps every row; the second boot does nothing.",
    needs: Need::Nothing,
    run: |test| Box::pin(restored_dump(test)),
}];

async fn restored_dump(test: &mut TestContext) -> anyhow::Result<()> {
    let image = BaseImage::exact_postgres(PostgresVersion::OLDEST);
    let Some(older) = image.local(&test.suite.engine).await? else {
        let reason = format!("there is no image {}; run `cargo xtask setup --yes`", image.name);
        return Err(NotRun(reason).into());
    };
    let (server, source) = test.server_of(&older.name).await?;
    let sample = Sample::new()?;
    test.run(sample.boot(test, "older", &source)).await?.expect_success("the boot on the older server")?;
    source.execute(sample::ROWS).await?;
    let before = data_integrity::fingerprints(&source).await?;

    let target = test.empty_database("newer").await?;
    // The older clients, as of an operator who keeps the file of a dump.
    let url = format!("postgres://{USER}:{}@{}/{}", test.suite.secrets.database, target.host, target.name);
    let copy = format!(
        "set -o pipefail; pg_dump --username {USER} --dbname {} | \
         psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null --dbname {url}",
        source.name
    );
    let (code, text) = test.suite.engine.exec(&server.id, &["bash", "-c", &copy]).await?;
    ensure!(code == 0, "dump and restore ended with {code}: {text}");

    let first = test.run(sample.boot(test, "first", &target)).await?;
    first.expect_success("the first boot on the restored database")?;
    first.expect(Phase::Schema, "no changes")?;
    test.line_with(&first.lines, "6/8 schema")?;
    let second = test.run(sample.boot(test, "second", &target)).await?;
    second.expect_success("the second boot on the restored database")?;
    second.expect(Phase::Lock, "not needed")?;
    test.line_with(&second.lines, "3/8 lock")?;
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&target).await?)?;
    for (name, database) in [("dumped from", &source), ("restored into", &target)] {
        test.figure(name, format!("PostgreSQL {}", database.value("current_setting('server_version')").await?));
    }
    test.figure("kept", data_integrity::describe(&before));
    Ok(())
}
