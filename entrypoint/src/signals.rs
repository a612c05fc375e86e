//! SIGTERM and SIGINT during a boot.
//!
//! As PID 1 a process without handlers ignores both, and `docker stop` then waits for its whole grace period.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use contract::ExitCode;

/// The signal that asked the boot to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM, `docker stop`.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
}

impl Asked {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Asked::Terminate => "SIGTERM",
            Asked::Interrupt => "SIGINT",
        }
    }

    /// What the process exits with.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Asked::Terminate => ExitCode::Terminated,
            Asked::Interrupt => ExitCode::Interrupted,
        }
    }
}

/// Handlers for both. The handlers stay for the life of the process; `exec` resets them.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The system's.
    pub fn install() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until one comes; one that came before is not missed.
    pub async fn asked(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}
