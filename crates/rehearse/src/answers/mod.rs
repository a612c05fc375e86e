//! Sample answers of a server, and the differences between those of two servers.

mod diff;
mod graphql;
mod rest;

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::api::Api;

use crate::live_model::LiveModel;
use crate::report::{UpgradeFindings, UpgradePart};

/// Items per list.
const ITEMS: usize = 5;

/// The answers of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleAnswers {
    /// By path.
    rest: BTreeMap<String, Value>,
    /// Collections, fields and relations by name, for each of Directus' own paths.
    schema: BTreeMap<String, Value>,
    /// By query.
    graphql: BTreeMap<String, Value>,
    /// Names of everything that clients can ask for, with a type for each.
    surface: BTreeMap<ApiSurface, BTreeMap<String, String>>,
}

/// A description of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ApiSurface {
    RestEndpoints,
    GraphQlTypes,
    GraphQlSystemTypes,
}

impl SampleAnswers {
    /// Asks the server to upgrade from.
    pub(crate) async fn sample(api: &Api, model: &LiveModel) -> anyhow::Result<SampleAnswers> {
        let mut answers = SampleAnswers { rest: rest::items(api, model).await?, ..SampleAnswers::default() };
        answers.describe(api).await?;
        for query in graphql::queries(api, model).await? {
            let answer = graphql::ask(api, &query).await?;
            answers.graphql.insert(query, answer);
        }
        Ok(answers)
    }

    /// Asks another server the same.
    pub(crate) async fn sample_again(&self, api: &Api) -> anyhow::Result<SampleAnswers> {
        let mut answers = SampleAnswers::default();
        for path in self.rest.keys() {
            answers.rest.insert(path.clone(), rest::ask(api, path).await?);
        }
        answers.describe(api).await?;
        for query in self.graphql.keys() {
            answers.graphql.insert(query.clone(), graphql::ask(api, query).await?);
        }
        Ok(answers)
    }

    async fn describe(&mut self, api: &Api) -> anyhow::Result<()> {
        self.schema = rest::schema(api).await?;
        self.surface.insert(ApiSurface::RestEndpoints, rest::endpoints(api).await?);
        self.surface.insert(ApiSurface::GraphQlTypes, graphql::types(api).await?);
        self.surface.insert(ApiSurface::GraphQlSystemTypes, graphql::system_types(api).await?);
        Ok(())
    }

    /// Numbers of answers of REST and of GraphQL.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rest.len() + self.schema.len() + 1, self.graphql.len() + 2)
    }

    /// Compares with the answers after the upgrade.
    pub(crate) fn compare(&self, after: &SampleAnswers, findings: &mut UpgradeFindings) {
        for (path, before) in &self.rest {
            diff::answers(UpgradePart::Rest, path, before, after.rest.get(path), findings);
        }
        for (path, before) in &self.schema {
            diff::entries(path, before, after.schema.get(path), findings);
        }
        for (query, before) in &self.graphql {
            diff::answers(UpgradePart::GraphQl, query, before, after.graphql.get(query), findings);
        }
        for (surface, before) in &self.surface {
            let (part, what) = surface.names();
            diff::names(part, what, before, after.surface.get(surface), findings);
        }
    }
}

impl ApiSurface {
    fn names(self) -> (UpgradePart, &'static str) {
        match self {
            ApiSurface::RestEndpoints => (UpgradePart::Rest, "endpoints"),
            ApiSurface::GraphQlTypes => (UpgradePart::GraphQl, "fields of the data model's types"),
            ApiSurface::GraphQlSystemTypes => (UpgradePart::GraphQl, "fields of Directus' own types"),
        }
    }
}
