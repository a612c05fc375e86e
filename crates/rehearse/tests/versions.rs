//! Rehearsals with the real packages of Directus, and of a candidate that removes rows. The builds take minutes.

mod common;

use common::{MutantImage, findings, image, rehearse};
use serde_json::Value;

#[test]
#[ignore = "builds two images of other versions of Directus; the nightly workflow runs it"]
fn from_11_16_1_to_11_17_4_is_safe() {
    let ended = rehearse(&["--from", "11.16.1", "--to", "11.17.4", "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, report["verdict"].as_str()), (0, Some("safe")), "{}", report["findings"]);
    assert_eq!(
        (report["from"]["directus"].as_str(), report["to"]["directus"].as_str()),
        (Some("11.16.1"), Some("11.17.4"))
    );
    assert_eq!(report["migrations"], Value::Array(Vec::new()));
    assert_eq!(report["rollback"]["served"], true);
}

#[test]
#[ignore = "builds two images of other versions of Directus; the nightly workflow runs it"]
fn from_11_17_4_to_12_4_1_keeps_every_row_and_has_no_way_back() {
    let ended = rehearse(&["--from", "11.17.4", "--to", "12.4.1", "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, report["verdict"].as_str()), (2, Some("look")), "{}", report["findings"]);
    let migrations = report["migrations"].as_array().unwrap();
    assert!(migrations.iter().any(|name| name == "20260507A Add Licensing"), "{migrations:?}");
    assert_eq!((findings(&report, "rows"), findings(&report, "schema")), (Vec::new(), Vec::new()));
    assert_eq!(findings(&report, "role"), Vec::<String>::new());
    assert_eq!(report["plan_after"]["exit"], 0);
    assert_eq!((report["rollback"]["served"].as_bool(), report["rollback"]["exit"].as_i64()), (Some(false), Some(45)));
    assert_eq!(report["license"]["name"], "Core");
    let license = findings(&report, "license").join("\n");
    assert!(license.contains("instead of BUSL-1.1") && license.contains("seats 1 of 3"), "{license}");
    let snapshot = findings(&report, "snapshot").join("\n");
    assert!(snapshot.contains("applied 9 system fields") && snapshot.contains("directus_oauth_codes"), "{snapshot}");
}

#[test]
#[ignore = "needs the image trm-directus:dev; the nightly workflow builds it"]
fn announced_losses_of_rows_are_found_too() {
    // The table is one of the rows that a rehearsal fills in, so that no data model is needed.
    const SQL: &str = "-- destroys: rows of team_spreadsheet\n\
        do $$ begin if to_regclass('team_spreadsheet') is not null then delete from team_spreadsheet where id = 1; end if; end $$;\n";
    let lines = "RUN cp -r /directus/db-init /mutant && rm -f /mutant/.manifest\n\
        COPY --chmod=0444 900_rows.sql /mutant/\nENV BOOT_DB_INIT_DIR=/mutant";
    let mutant = MutantImage::build("rehearse-rows", lines, &[("900_rows.sql", SQL.to_owned())]);
    let ended = rehearse(&["--from", &image(), "--image", &mutant.tag, "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, report["verdict"].as_str()), (2, Some("look")), "{}", report["findings"]);
    assert_eq!(findings(&report, "rows"), ["team_spreadsheet had 7 rows and has 6"]);
    let log = report["upgrade_log"].to_string();
    assert!(log.contains("1 applied"), "{log}");
}
