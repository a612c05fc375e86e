//! The image of this checkout against itself, and against a mutant.

mod common;

use common::{MutantImage, findings, image, rehearse};
use serde_json::Value;
use testbed::schema::DataModel;

#[test]
#[ignore = "needs the image trm-directus:dev; `cargo xtask ci` runs it after the gate, which builds that image"]
fn an_image_can_be_replaced_by_itself() {
    let ended = rehearse(&["--from", &image(), "--image", &image(), "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, report["verdict"].as_str()), (0, Some("safe")), "{}", report["findings"]);
    assert_eq!(report["notes"], Value::Array(Vec::new()));
    assert_eq!(report["rollback"]["served"], true);
    assert_eq!(report["plan_after"]["exit"], 0);
    assert_eq!(report["boots"].as_array().unwrap().len(), 6);
    // Not safe because nothing was compared.
    let model = DataModel::snapshot().unwrap();
    let compared = |what: &str| report["compared"][what].as_u64().unwrap() as usize;
    assert!(
        compared("tables") > model.tables().len() && compared("rows") >= compared("tables"),
        "{}",
        report["compared"]
    );
    assert!(
        compared("rest_answers") >= 2 * model.tables().len() && compared("graphql_answers") >= model.tables().len()
    );
}

#[test]
#[ignore = "needs the image trm-directus:dev; `cargo xtask ci` runs it after the gate, which builds that image"]
fn a_snapshot_that_drops_a_field_is_a_failed_upgrade() {
    let mut snapshot = DataModel::snapshot_document().unwrap();
    let fields = snapshot["fields"].as_array_mut().unwrap();
    let is_plain = |field: &Value| {
        let column = &field["schema"];
        field["type"] == "string" && column["is_unique"] == false && column["foreign_key_table"].is_null()
    };
    let dropped = fields.remove(fields.iter().position(is_plain).expect("a plain text field"));
    let name = format!("{}.{}", dropped["collection"].as_str().unwrap(), dropped["field"].as_str().unwrap());
    let lines = "COPY --chmod=0444 schema.yaml /mutant/schema.yaml\nENV BOOT_SNAPSHOT_FILE=/mutant/schema.yaml";
    let mutant = MutantImage::build("rehearse-field", lines, &[("schema.yaml", snapshot.to_string())]);

    let ended = rehearse(&["--from", &image(), "--image", &mutant.tag, "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, report["verdict"].as_str()), (1, Some("failed")), "{}", report["findings"]);
    let boot = findings(&report, "boot").join("\n");
    assert!(boot.contains("ended with 43") && boot.contains(&name), "{boot}");
    assert_eq!(report["plan_before"]["exit"], 43);
}
