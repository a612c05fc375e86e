//! A user with a role of its own, that is not an administrator: reads every collection, and writes.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::api::Api;

use crate::live_model::LiveModel;
use crate::report::{UpgradeFindings, UpgradePart};

const EMAIL: &str = "rehearsal@example.com";
const PASSWORD: &str = "rehearsal-0123456789";

/// The access of the role's user, as seen before the upgrade.
#[derive(Clone, Debug)]
pub(crate) struct RoleAccess {
    /// Number of items that the user reads, by path.
    items: BTreeMap<String, usize>,
    /// A text that the user changes, if the data model has one.
    write: Option<RoleWrite>,
}

/// An item and a text field of it.
#[derive(Clone, Debug)]
struct RoleWrite {
    item: String,
    field: String,
}

/// Creates the role, its permissions and its user, and reads what the user reads. Also writes once, so that a write that
/// fails later is one that worked.
pub(crate) async fn create(admin: &Api, url: &str, model: &LiveModel) -> anyhow::Result<RoleAccess> {
    let id = |created: Value| created["id"].as_str().map(str::to_owned).context("Directus created nothing");
    let role = id(admin.post("/roles", json!({ "name": "Rehearsal" })).await?)?;
    let policy = json!({ "name": "Rehearsal", "admin_access": false, "app_access": false });
    let policy = id(admin.post("/policies", policy).await?)?;
    admin.post("/access", json!({ "role": role, "policy": policy })).await?;
    let own: Vec<_> = model.collections.iter().filter(|collection| collection.has_items()).collect();
    let permissions = own.iter().flat_map(|collection| {
        ["create", "read", "update"].map(|action| {
            json!({ "policy": policy, "collection": collection.name, "action": action, "fields": ["*"],
                "permissions": {}, "validation": {} })
        })
    });
    admin.post("/permissions", Value::Array(permissions.collect())).await?;
    let user = json!({ "email": EMAIL, "password": PASSWORD, "role": role, "status": "active" });
    admin.post("/users", user).await?;

    let api = Api::login(url.to_owned(), EMAIL, PASSWORD).await?;
    let mut access = RoleAccess { items: BTreeMap::new(), write: None };
    for collection in own {
        let list = format!("{}?fields={}&limit=-1", collection.path, collection.key);
        let items = api.get(&list).await?;
        access.items.insert(list, items.as_array().map_or(1, Vec::len));
        let first = items.as_array().and_then(|items| items.first()).map(|item| &item[&collection.key]);
        if let (None, Some(field), Some(key)) = (&access.write, collection.texts.first(), first) {
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            access.write = Some(RoleWrite { item: format!("{}/{key}", collection.path), field: field.clone() });
        }
    }
    if let Some(write) = &access.write {
        write.perform(&api).await.context("the rehearsal's own role cannot write before the upgrade")?;
    }
    Ok(access)
}

impl RoleAccess {
    /// Logs in as the user, reads and writes; every difference from before is a finding about `part`.
    pub(crate) async fn check(
        &self,
        url: &str,
        part: UpgradePart,
        findings: &mut UpgradeFindings,
    ) -> anyhow::Result<()> {
        let api = match Api::login(url.to_owned(), EMAIL, PASSWORD).await {
            Ok(api) => api,
            Err(error) => {
                findings.look(part, format!("a user without administrator's rights cannot log in: {error:#}"));
                return Ok(());
            }
        };
        for (path, before) in &self.items {
            let answer = api.call("GET", path, None).await?;
            let now = answer.body["data"].as_array().map_or(1, Vec::len);
            let path = path.split('?').next().unwrap_or(path);
            if answer.status != 200 {
                let reason = &answer.body["errors"][0]["message"];
                findings.look(part, format!("a user without administrator's rights cannot read {path}: {reason}"));
            } else if now != *before {
                findings
                    .look(part, format!("a user without administrator's rights reads {now} of {path}, not {before}"));
            }
        }
        match &self.write {
            None => findings.note(part, "no text field to write: only reading was tried"),
            Some(write) => {
                if let Err(error) = write.perform(&api).await {
                    findings.look(part, format!("a user without administrator's rights cannot write: {error:#}"));
                }
            }
        }
        Ok(())
    }
}

impl RoleWrite {
    /// Reverses the text, so that its length stays valid, and reads it back.
    async fn perform(&self, api: &Api) -> anyhow::Result<()> {
        let RoleWrite { item, field } = self;
        let path = format!("{item}?fields={field}");
        let text = api.get(&path).await?[field].as_str().unwrap_or("rehearsal").to_owned();
        let reversed: String = text.chars().rev().collect();
        api.patch(item, json!({ (field): reversed })).await?;
        let read = api.get(&path).await?;
        ensure!(read[field] == reversed.as_str(), "{item}.{field} is {} after it was set to {reversed}", read[field]);
        Ok(())
    }
}
