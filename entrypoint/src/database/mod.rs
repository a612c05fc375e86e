//! Phases 2 and 3: the connection to PostgreSQL, and the lock that excludes other boots.

mod classify;
mod connect;
mod direct_connection;
mod lock;
pub mod lock_retry;
mod session;
pub mod settings;
pub mod state;
mod tls;
mod tunnel;
mod wait;
mod watchdog;

pub use classify::{PoolerDetected, describe, trace_of_pooler};
pub use connect::ConnectError;
pub use direct_connection::{PoolError, detect_pooler, require_direct_connection};
pub use lock::{BootLock, Holder, LockError, LockWait, VerifyError, holder, is_lock_free};
pub use session::{Lost, Notice, Session};
pub use tls::{Pem, Roots, TlsClient, TlsOptions};
pub use wait::{WaitError, attempt, wait, wait_until_writable};
pub use watchdog::watchdog;
