//! A real PgBouncer in front of the test's PostgreSQL.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Place;

/// A running pooler, ended with the test.
pub(crate) struct PgBouncer {
    child: Child,
    dir: PathBuf,
    pub(crate) port: u16,
}

impl PgBouncer {
    /// Starts one in that `pool_mode`, for one database; `more` are further lines of its configuration.
    pub(crate) fn start(place: &Place, mode: &str, more: &str) -> PgBouncer {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"]
            .into_iter()
            .find(|path| PathBuf::from(path).exists())
            .expect("there is no pgbouncer on this machine: run `cargo xtask setup`");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let dir = std::env::temp_dir().join(format!("entrypoint-pgbouncer-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary folder is writable");
        let Place { host, port: server_port, user, password, database } = place;
        let config = format!(
            "[databases]\n{database} = host={host} port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\npool_mode = {mode}\n{more}\n",
            dir.join("users").display(),
        );
        fs::write(dir.join("users"), format!("\"{user}\" \"{password}\"\n")).expect("writable");
        fs::write(dir.join("pgbouncer.ini"), config).expect("writable");
        // It does not run as root; whoever it runs as must read these.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("ours");
        let mut command = Command::new(program);
        if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(dir.join("pgbouncer.ini"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).expect("writable"))
            .spawn()
            .expect("pgbouncer runs");
        let bouncer = PgBouncer { child, dir, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(bouncer.dir.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "pgbouncer does not listen:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ended");
        fs::remove_dir_all(&self.dir).expect("the folder is ours");
    }
}
