//! Infrastructure of the tools: containers, databases, images, the compose stack, child processes, HTTP and a browser.
//!
//! Everything cleans up after itself: a [`session::EngineSession`] removes its containers, a [`cmd::Cmd`] ends its process
//! group.

pub mod api;
pub mod base_images;
pub mod boot_view;
pub mod chromium;
pub mod cmd;
pub mod compose;
pub mod dockerfile;
pub mod dotenv;
pub mod engine;
mod heartbeat;
pub mod http;
pub mod image;
pub mod kubernetes;
pub mod machine;
pub mod migrations;
pub mod pooler;
pub mod ports;
pub mod postgres;
pub mod program;
pub mod registry;
pub mod schema;
pub mod schema_diff;
pub mod schema_export;
pub mod seed;
pub mod session;
pub mod setup;
pub mod signals;
pub mod snapshot_text;
pub mod time;
pub mod ui;
pub mod workflow;
pub mod workspace;
