//! A report with everything that can go wrong when it is rendered.

use crate::critical_path::longest_chain;
use crate::model::{
    BootTimeline, CheckReport, CheckStatus, EngineMachine, Evidence, EvidenceFigure, LoadPeriod, LoadSecond,
    LogExcerpt, PhaseTime, Picture, ReplicaSpan, ReplicaTimeline, Roll, RollMoment, Summary, TestedImage, VerifyReport,
};

/// A picture of one pixel.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
\0\0\0\rIDATx\xdacd\xf8\xff\xbf\x1e\0\x05\x83\x02\x7f\x94\xad\xd0\xeb\0\0\0\0IEND\xaeB`\x82";

/// A reason with HTML, terminal colours and characters that have a meaning in Markdown and workflow commands.
pub(super) const NASTY: &str =
    "it printed <script>alert(\"1\")</script>: 100% of a|b & \u{1b}[31mrot\u{1b}[0m\nand more";

/// A report with passed, failed and skipped checks, nasty characters, three kinds of boots, and a picture.
pub(crate) fn report() -> VerifyReport {
    let cold = [0, 23, 1, 71, 5_072, 652, 13, 0];
    let warm = [0, 19, 1, 4, 1_310, 402, 5, 0];
    let checks = vec![
        check(
            "image",
            CheckStatus::Pass,
            0.0,
            0.4,
            Evidence {
                figures: vec![EvidenceFigure::new("size", "713.2 MB"), EvidenceFigure::new("over its base", "2.5 MB")],
                ..Evidence::default()
            },
        ),
        check(
            "fresh-boot",
            CheckStatus::Pass,
            0.0,
            14.2,
            Evidence {
                figures: vec![EvidenceFigure::new("container start to healthy", "8.2 s")],
                boots: vec![boot("cold", &cold, Some(8_210))],
                ..Evidence::default()
            },
        ),
        check(
            "warm-boot",
            CheckStatus::Pass,
            0.41,
            21.9,
            Evidence { boots: vec![boot("warm", &warm, Some(4_100))], ..Evidence::default() },
        ),
        CheckReport {
            reason: Some(NASTY.to_owned()),
            logs: vec![LogExcerpt {
                container: "directus".to_owned(),
                lines: vec![
                    "[entrypoint] 4/8 db-init: 3 applied, 0 skipped (41 ms)".to_owned(),
                    "Zeile mit Ümlaut, 日本語 & <b>\"Anführung\"</b>".to_owned(),
                    format!("{} a line that is longer than any telephone is wide", "x".repeat(120)),
                ],
            }],
            ..check(
                "postgres-killed",
                CheckStatus::Fail,
                14.25,
                48.3,
                Evidence {
                    figures: vec![
                        EvidenceFigure::new("exit code", "1"),
                        EvidenceFigure::new("<b>expected</b>", "23 & \"no\" other"),
                    ],
                    lines: vec!["[entrypoint] 4/8 db-init failed: the connection was lost (exit 23)".to_owned()],
                    boots: vec![boot("cut off", &cold[..4], None)],
                    rolls: vec![roll()],
                    ..Evidence::default()
                },
            )
        },
        CheckReport {
            reason: Some("there is no Chromium: `cargo xtask setup --yes` installs it".to_owned()),
            ..check(
                "admin-ui",
                CheckStatus::NotRun,
                22.4,
                0.0,
                Evidence {
                    pictures: vec![picture("The data model", "admin.png"), picture("The login", "missing.png")],
                    ..Evidence::default()
                },
            )
        },
    ];
    VerifyReport {
        schema: VerifyReport::SCHEMA,
        run: "trm-run-verify-host-42".to_owned(),
        began: "2026-06-01T01:01:01Z".to_owned(),
        seconds: 63.1,
        ok: false,
        subject: TestedImage {
            image: "trm-directus:dev".to_owned(),
            image_id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            image_digest: Some(format!("localhost:5000/trm@sha256:{}", "fedcba9876543210".repeat(4))),
            version: "0.1.0@f8ba659".to_owned(),
            size_bytes: 713_200_000,
            base: "trm-standin/directus:11.17.4".to_owned(),
            base_is_stand_in: true,
            database: "trm-standin/timescaledb-ha:pg16.6-ts2.17.2-all".to_owned(),
            database_is_stand_in: true,
        },
        machine: EngineMachine { engine: "28.5.1".to_owned(), cores: 2, jobs: 2 },
        summary: Summary::of(&checks),
        critical_path: longest_chain(&checks),
        checks,
    }
}

fn check(name: &'static str, status: CheckStatus, began: f64, seconds: f64, evidence: Evidence) -> CheckReport {
    let promise = match name {
        "image" => "The image is at most 35 MB larger than its base.",
        "fresh-boot" => "A first boot applies every migration and the snapshot, and serves.",
        "warm-boot" => "A boot of an up-to-date database changes nothing, and serves the same rows.",
        "postgres-killed" => "A boot whose PostgreSQL dies in db-init fails, and the next boot completes.",
        _ => "A user can log in with a real browser and sees the collections.",
    };
    CheckReport { name, promise, status, reason: None, began, seconds, evidence, logs: Vec::new() }
}

fn boot(name: &str, ms: &[u64], ready_ms: Option<u64>) -> BootTimeline {
    let names = ["config", "database", "lock", "db-init", "bootstrap", "schema", "post-schema", "exec"];
    let phases = names.into_iter().zip(ms).map(|(phase, ms)| PhaseTime {
        phase: phase.to_owned(),
        ms: *ms,
        message: format!("the message of {phase}, <i>verbatim</i>"),
    });
    BootTimeline { name: name.to_owned(), phases: phases.collect(), ready_ms }
}

/// A replica that began before the load, and one failed request.
fn roll() -> Roll {
    let span = |phase: &str, from, to| ReplicaSpan { phase: phase.to_owned(), from, to };
    let second = |second, failed| LoadSecond { second, requests: 20, failed, p50_ms: 8, p99_ms: 900 };
    let replica = ReplicaTimeline {
        slot: 1,
        image: "A".to_owned(),
        spans: vec![span("config", -4.0, -3.0), span("serving", -1.0, 2.0), span("stopping", 2.0, 3.0)],
    };
    Roll {
        name: "A → B".to_owned(),
        seconds: 4.0,
        moments: vec![RollMoment { at: 1.0, name: "update to B".to_owned() }],
        replicas: vec![replica],
        load: vec![second(0, 0), second(1, 1), second(2, 0)],
        periods: vec![LoadPeriod {
            name: "before".to_owned(),
            from: 0.0,
            to: 1.0,
            requests: 20,
            writes: 7,
            failed: 0,
            p50_ms: 8,
            p99_ms: 900,
            longest_ms: 900,
        }],
    }
}

fn picture(name: &str, file: &str) -> Picture {
    Picture { name: name.to_owned(), file: file.to_owned() }
}
