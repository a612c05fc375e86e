//! Known advisories of the pinned Directus that it does not fix, and our answer to each. The reference is generated from
//! them.
//!
//! A new pin needs a new review: a test compares [`REVIEWED_PIN`] with the Dockerfile.

/// The version of Directus that [`ADVISORIES`] was reviewed for.
pub const REVIEWED_PIN: &str = "11.17.4";

/// The day of the last review, as `YYYY-MM-DD`.
pub const REVIEWED_ON: &str = "2026-11-26";

/// The severity of an advisory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Needs the rights of an administrator, or reveals little.
    Low,
    /// Needs rights or settings that are not the default.
    Medium,
    /// Reveals or changes data beyond a user's rights.
    High,
    /// Gives full rights to a caller who has none.
    Critical,
}

impl Severity {
    /// The word in the reference.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// The part of the image in the answer to an advisory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisoryAnswer {
    /// Phase 1 refuses (exit code 10) these variables with this value.
    Refused {
        /// The names of the variables.
        variables: &'static [&'static str],
        /// The refused value, in any case of letters.
        value: &'static str,
        /// The values to use instead, as a clause.
        instead: &'static str,
    },
    /// Only the operator can act; the reference names the action.
    Documented,
    /// None yet. The check `advisories` of the gate fails for a critical advisory.
    Open,
}

/// One advisory that the pinned Directus does not fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// The CVE number.
    pub id: &'static str,
    /// The severity for this image.
    pub severity: Severity,
    /// The first version of Directus without the defect.
    pub fixed_in: &'static str,
    /// The defect, as seen in the code of [`REVIEWED_PIN`], in full sentences.
    pub defect: &'static str,
    /// The operator's part, in full sentences.
    pub advice: &'static str,
    /// The image's part.
    pub answer: AdvisoryAnswer,
}

impl Advisory {
    /// Returns true for a critical advisory without an answer.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.severity == Severity::Critical && self.answer == AdvisoryAnswer::Open
    }
}

/// Every known advisory, the most severe first. Each was verified in `@directus/api` 35.2.0 (the pin's) against 39.2.1.
pub const ADVISORIES: &[Advisory] = &[
    Advisory {
        id: "CVE-2026-126539",
        severity: Severity::Critical,
        fixed_in: "12",
        defect: "A WebSocket whose login failed or whose token expired has no accountability, and Directus treats that as full \
                 rights. In the mode `public` the connection stays open, so any caller gets full rights (`websocket/controllers/base.js`). \
                 In the other modes the connection is closed, but after an expired token only when `WEBSOCKETS_*_AUTH_TIMEOUT` has passed.",
        advice: "Leave `WEBSOCKETS_ENABLED` at `false` unless clients need it, and then use `strict` or `handshake`.",
        answer: AdvisoryAnswer::Refused {
            variables: &["WEBSOCKETS_REST_AUTH", "WEBSOCKETS_GRAPHQL_AUTH"],
            value: "public",
            instead: "use `handshake` or `strict`",
        },
    },
    Advisory {
        id: "CVE-2026-129239",
        severity: Severity::High,
        fixed_in: "12",
        defect: "An update of a share checks neither the right to share its new item nor its new creator (`services/shares.js`). \
                 A user who may update `directus_shares` can thus share items that the user cannot read.",
        advice: "Give no policy the permission to update `directus_shares`; app access alone does not include it.",
        answer: AdvisoryAnswer::Documented,
    },
];

#[cfg(test)]
mod tests {
    use super::{ADVISORIES, Advisory, AdvisoryAnswer, REVIEWED_ON, Severity};

    #[test]
    fn no_critical_advisory_is_without_an_answer() {
        for advisory in ADVISORIES {
            assert!(!advisory.is_open(), "{}: give it an answer", advisory.id);
        }
    }

    #[test]
    fn only_a_critical_advisory_without_an_answer_is_open() {
        let open = Advisory { severity: Severity::Critical, answer: AdvisoryAnswer::Open, ..ADVISORIES[0] };
        assert!(open.is_open());
        assert!(!Advisory { severity: Severity::High, ..open }.is_open());
        assert!(!Advisory { answer: AdvisoryAnswer::Documented, ..open }.is_open());
    }

    #[test]
    fn advisories_are_sorted_by_severity_and_have_full_sentences() {
        assert!(ADVISORIES.is_sorted_by(|a, b| a.severity >= b.severity));
        for advisory in ADVISORIES {
            assert!(advisory.id.starts_with("CVE-"), "{}", advisory.id);
            assert!(advisory.defect.ends_with('.') && advisory.advice.ends_with('.'), "{}", advisory.id);
        }
        assert_eq!(REVIEWED_ON.len(), "2026-11-26".len());
    }
}
