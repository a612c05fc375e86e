//! SIGTERM and SIGINT during a boot.
//!
//! A process without handlers ignores both if it is PID 1, and `docker stop` then waits for its whole grace period.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use contract::ExitCode;

/// A signal that ends the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownSignal {
    /// SIGTERM, `docker stop`.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
}

impl ShutdownSignal {
    /// The name with the prefix `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ShutdownSignal::Terminate => "SIGTERM",
            ShutdownSignal::Interrupt => "SIGINT",
        }
    }

    /// The process' exit code after the signal.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            ShutdownSignal::Terminate => ExitCode::Terminated,
            ShutdownSignal::Interrupt => ExitCode::Interrupted,
        }
    }
}

/// The handlers of both signals. They remain for the life of the process; `exec` resets them.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Fails if the system does not allow it.
    pub fn install() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal; one that came before the call is not missed.
    pub async fn received(&mut self) -> ShutdownSignal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => ShutdownSignal::Terminate,
            _ = self.interrupt.recv() => ShutdownSignal::Interrupt,
        }
    }
}
