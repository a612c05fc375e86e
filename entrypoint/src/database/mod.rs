//! Phases 2 and 3: the connection to PostgreSQL, and the lock that excludes other boots.

mod classify;
mod lock;
pub mod lock_retry;
mod pooled;
mod session;
pub mod state;
mod tls;
mod wait;
mod watch;

pub use classify::{Pooled, Verdict, describe, judge, trace_of_pooler};
pub use lock::{BootLock, Holder, LockError, VerifyError, holder};
pub use pooled::{PoolError, refuse_pooler};
pub use session::{Lost, Notice, RESET, Session};
pub use tls::{Pem, Roots, TlsClient, TlsOptions};
pub use wait::{WaitError, wait};
pub use watch::silence;
