//! The Node process that runs Directus' own code.
//!
//! Messages go through its standard input, a socket. Standard output and error go to the container's log.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::time::timeout;

use super::protocol::{Bootstrapped, Change, Failure, Reply, Request, SchemaPlan};
use super::snapshot::Snapshot;
use crate::script;
use contract::failure;
use contract::sqlstate::Remedy;

/// The bridge's file in the scripts folder.
const SCRIPT: &str = "bridge.mjs";
/// The time limit for the process to exit after its work.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Directus reports a failure.
    #[error("{0}")]
    Failed(Failure),
    /// The process could not be started.
    #[error("cannot start node: {0}")]
    Spawn(std::io::Error),
    /// The process ended before it replied.
    #[error("the Node process ended unexpectedly ({0}); its last lines are above")]
    Ended(ExitStatus),
    /// The socket failed.
    #[error("the connection to the Node process broke: {0}")]
    Io(#[from] std::io::Error),
    /// The reply is not one of the protocol, or not one to the request.
    #[error("the Node process sent an invalid reply: {0}")]
    Malformed(String),
}

impl BridgeError {
    /// Returns the remedy for the cause, for this role. `by_author` is the one for a snapshot or a migration that is wrong.
    #[must_use]
    pub fn remedy(&self, role: &str, by_author: &str) -> Remedy {
        match self {
            BridgeError::Failed(failure) => match &failure.code {
                Some(code) if code.len() == 5 => Remedy::of(code, &failure.message, role, by_author),
                _ => Remedy::author(by_author),
            },
            _ => Remedy::author(failure::NODE.remedy),
        }
    }
}

/// A running bridge. Dropping it kills the process.
#[derive(Debug)]
pub struct Bridge {
    child: Child,
    replies: Lines<BufReader<OwnedReadHalf>>,
    requests: OwnedWriteHalf,
}

impl Bridge {
    /// Starts the process, which imports Directus in the background. For a `report`, its database sessions are
    /// read-only and its log goes to standard error.
    ///
    /// # Errors
    /// [`BridgeError::Spawn`].
    pub fn start(
        scripts: &Path,
        snapshot: &Path,
        variables: &BTreeMap<&'static str, Option<String>>,
        report: bool,
    ) -> Result<Bridge, BridgeError> {
        let started = script::start(&scripts.join(SCRIPT), variables, |node| {
            node.arg(snapshot);
            if report {
                node.arg("read-only").stdout(Stdio::from(std::io::stderr()));
            }
        });
        let (child, stream) = started.map_err(BridgeError::Spawn)?;
        let (read, requests) = stream.into_split();
        Ok(Bridge { child, replies: BufReader::new(read).lines(), requests })
    }

    /// Reads the snapshot file. Returns quickly, because Directus is imported afterwards.
    ///
    /// # Errors
    /// [`BridgeError::Failed`] if the file is not a valid snapshot; otherwise see [`BridgeError`].
    pub async fn read_snapshot(&mut self) -> Result<Snapshot, BridgeError> {
        self.ask(&Request::ReadSnapshot).await
    }

    /// Installs and migrates the system tables in the open transaction. With `admin`, also creates the first
    /// administrator.
    ///
    /// # Errors
    /// See [`BridgeError`].
    pub async fn bootstrap(&mut self, admin: bool) -> Result<Bootstrapped, BridgeError> {
        self.ask(&Request::Bootstrap { admin }).await
    }

    /// Compares the database with the snapshot.
    ///
    /// # Errors
    /// See [`BridgeError`].
    pub async fn plan(&mut self) -> Result<SchemaPlan, BridgeError> {
        let plan: SchemaPlan = self.ask(&Request::Plan).await?;
        // Such a difference would make Directus delete or create the whole entity (directus 27877).
        if plan.changes.iter().any(Change::is_malformed) {
            return Err(BridgeError::Malformed("a plan with a nested addition or removal".to_owned()));
        }
        Ok(plan)
    }

    /// Applies the last plan once, in the open transaction, without the changes at these indices.
    ///
    /// # Errors
    /// See [`BridgeError`].
    pub async fn apply(&mut self, skip: Vec<usize>) -> Result<(), BridgeError> {
        self.ask(&Request::Apply { skip }).await
    }

    /// Opens a transaction on Directus' connection; everything up to [`Bridge::commit`] or [`Bridge::rollback`] is part
    /// of it.
    ///
    /// # Errors
    /// See [`BridgeError`].
    pub async fn begin(&mut self) -> Result<(), BridgeError> {
        self.ask(&Request::Begin).await
    }

    /// Runs SQL in the open transaction. Returns the rows of the last statement.
    ///
    /// # Errors
    /// See [`BridgeError`]; the transaction is then aborted.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, BridgeError> {
        self.ask(&Request::Query { sql: sql.to_owned() }).await
    }

    /// Commits. Returns warnings about problems in Directus' work after the commit.
    ///
    /// # Errors
    /// See [`BridgeError`]; nothing was committed, unless the connection was lost during the COMMIT.
    pub async fn commit(&mut self) -> Result<Vec<String>, BridgeError> {
        self.ask(&Request::Commit).await
    }

    /// Rolls back.
    ///
    /// # Errors
    /// See [`BridgeError`]; the end of the connection then rolls back.
    pub async fn rollback(&mut self) -> Result<(), BridgeError> {
        self.ask(&Request::Rollback).await
    }

    /// Ends the process: it closes its connections and exits, or is killed after a timeout.
    pub async fn finish(mut self) {
        // The process exits when our end of the socket is closed.
        drop(self.requests);
        drop(self.replies);
        if timeout(EXIT_TIMEOUT, self.child.wait()).await.is_err() {
            drop(self.child.start_kill());
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, BridgeError> {
        let line = self.exchange(request).await?;
        match serde_json::from_str(&line) {
            Ok(Reply::Ok(result)) => Ok(result),
            Ok(Reply::Error(failure)) => Err(BridgeError::Failed(failure)),
            Err(error) => Err(BridgeError::Malformed(error.to_string())),
        }
    }

    /// Sends a request and returns the line of the reply.
    async fn exchange(&mut self, request: &Request) -> Result<String, BridgeError> {
        let mut line = serde_json::to_string(request).expect("a request serializes");
        line.push('\n');
        let written = self.requests.write_all(line.as_bytes()).await;
        let reply = match written {
            Ok(()) => self.replies.next_line().await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(Some(line)) => Ok(line),
            // The socket is closed: the exit status is more informative than the broken pipe.
            Ok(None) | Err(_) => match timeout(EXIT_TIMEOUT, self.child.wait()).await {
                Ok(Ok(status)) => Err(BridgeError::Ended(status)),
                Ok(Err(error)) => Err(BridgeError::Io(error)),
                Err(_) => Err(BridgeError::Io(std::io::ErrorKind::BrokenPipe.into())),
            },
        }
    }
}
