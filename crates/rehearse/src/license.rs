//! The license of a Directus that enforces one (12 and later): read, never accepted or activated.

use serde_json::Value;
use testbed::api::Api;

use crate::report::{LicenseLimit, LicenseReport, RehearsedImage, UpgradeFindings, UpgradePart};

/// Asks a server for its license; `None` if it enforces none.
pub(crate) async fn read(api: &Api) -> anyhow::Result<Option<LicenseReport>> {
    let answer = api.call("GET", "/license", None).await?;
    Ok((answer.status == 200).then(|| report(&answer.body["data"])))
}

fn report(data: &Value) -> LicenseReport {
    let text = |key: &str| data[key].as_str().unwrap_or("unknown").to_owned();
    let entitlements = data["entitlements"].as_object();
    let usage = |what: &str| data["usage"][what].as_i64();
    let limits = entitlements.into_iter().flatten().filter_map(|(what, entitlement)| {
        let parts = ["limit", "overage", "addon"].map(|part| entitlement[part].as_i64());
        let limit = parts[0]?;
        let total = if parts.contains(&Some(-1)) { -1 } else { parts.iter().flatten().sum() };
        Some(LicenseLimit { what: what.clone(), used: usage(what)?, limit: if limit == -1 { -1 } else { total } })
    });
    let excluded = entitlements.into_iter().flatten().filter(|(_, entitlement)| {
        let value = if entitlement["override"].is_null() { &entitlement["default"] } else { &entitlement["override"] };
        value == false
    });
    LicenseReport {
        name: text("name"),
        status: text("status"),
        limits: limits.collect(),
        excluded: excluded.map(|(what, _)| what.trim_end_matches("_enabled").replace('_', " ")).collect(),
    }
}

/// Reports a license that differs from the one of the start, and its limits.
pub(crate) fn compare(
    from: &RehearsedImage,
    to: &RehearsedImage,
    license: Option<&LicenseReport>,
    findings: &mut UpgradeFindings,
) {
    if from.license != to.license {
        findings.look(
            UpgradePart::License,
            format!(
                "Directus {} is under another license than {} ({} instead of {}): read and decide; the rehearsal accepted nothing",
                to.directus, from.directus, to.license, from.license
            ),
        );
    }
    let Some(LicenseReport { name, status, limits, excluded }) = license else { return };
    let counted: Vec<String> = limits.iter().filter(|limit| limit.limit >= 0).map(ToString::to_string).collect();
    findings.look(
        UpgradePart::License,
        format!(
            "the server enforces the license {name}: {}{}; compare with your production",
            counted.join(", "),
            if excluded.is_empty() { String::new() } else { format!("; without {}", excluded.join(", ")) }
        ),
    );
    if status != "active" {
        findings.look(UpgradePart::License, format!("the license is {status}: a limit is exceeded"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{compare, report};
    use crate::report::{RehearsedImage, UpgradeFindings};

    fn image(license: &str) -> RehearsedImage {
        RehearsedImage {
            image: "a:b".to_owned(),
            directus: "12.4.1".to_owned(),
            license: license.to_owned(),
            variant: String::new(),
            base: String::new(),
            stand_in: false,
            substitutes: Vec::new(),
        }
    }

    #[test]
    fn limits_usage_and_excluded_features_are_read() {
        let data = json!({
            "name": "Core", "status": "locked", "usage": { "seats": 4, "collections": 11, "flows": 0 },
            "entitlements": {
                "seats": { "limit": 3, "overage": 0, "addon": null }, "collections": { "limit": 25 },
                "flows": { "limit": -1 }, "sso_enabled": { "default": true, "override": false },
                "custom_permission_rules_enabled": { "default": false }, "display_powered_by": "always",
            },
        });
        let license = report(&data);
        let mut findings = UpgradeFindings::default();
        compare(&image("A"), &image("B"), Some(&license), &mut findings);
        let lines = findings.lines();
        assert!(lines[0].contains("(B instead of A)"), "{lines:?}");
        let expected = "the server enforces the license Core: collections 11 of 25, seats 4 of 3; without custom permission \
                        rules, sso; compare with your production";
        assert!(lines[1].ends_with(expected), "{lines:?}");
        assert_eq!(lines[2], "Look license: the license is locked: a limit is exceeded");
    }

    #[test]
    fn the_same_license_without_enforcement_is_nothing_to_report() {
        let mut findings = UpgradeFindings::default();
        compare(&image("A"), &image("A"), None, &mut findings);
        assert!(findings.lines().is_empty());
    }
}
