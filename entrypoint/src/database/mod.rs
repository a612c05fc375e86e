//! Phases 2 and 3: the connection to PostgreSQL, and the lock that excludes other boots.

mod classify;
mod connect;
mod lock;
pub mod lock_retry;
mod pooled;
mod session;
pub mod settings;
pub mod sqlstate;
pub mod state;
mod tls;
mod tunnel;
mod wait;
mod watch;

pub use classify::{Pooled, describe, trace_of_pooler};
pub use connect::ConnectError;
pub use lock::{BootLock, Holder, LockError, VerifyError, holder};
pub use pooled::{PoolError, refuse_pooler};
pub use session::{Lost, Notice, Session};
pub use sqlstate::Verdict;
pub use tls::{Pem, Roots, TlsClient, TlsOptions};
pub use wait::{WaitError, wait, wait_until_writable};
pub use watch::silence;
