//! Networks that do not answer: every wait ends at its deadline, and at once on a signal.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{BootResult, Image, binary};
use contract::ExitCode;
use entrypoint::network::dial;
use socket2::{Domain, Socket, Type};

/// Time beyond the deadline, and time for the end after a signal; generous, because machines are shared.
const SLACK: Duration = Duration::from_secs(2);
const SSL_REQUEST: usize = 8;

/// A server, and what keeps it as it is.
struct SilentServer {
    address: SocketAddr,
    _listener: Option<Socket>,
    _queued: Vec<TcpStream>,
}

/// Accepts connections and never answers.
fn accepting() -> SilentServer {
    serve(|_| ())
}

/// Agrees to encryption, and never answers the handshake.
fn half_open_handshake() -> SilentServer {
    serve(|stream| {
        let mut request = [0; SSL_REQUEST];
        drop(stream.read_exact(&mut request).and_then(|()| stream.write_all(b"S")));
    })
}

fn serve(greet: fn(&mut TcpStream)) -> SilentServer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            greet(&mut stream);
            open.push(stream);
        }
    });
    SilentServer { address, _listener: None, _queued: Vec::new() }
}

/// Drops SYNs: the queue of the listener is full, and it accepts none.
fn dropping() -> SilentServer {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    listener.listen(0).expect("a bound socket");
    let address = listener.local_addr().expect("bound").as_socket().expect("an IP address");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
    }
    SilentServer { address, _listener: Some(listener), _queued: queued }
}

/// Name, server, and DB_SSL.
type Setup = (&'static str, fn() -> SilentServer, &'static str);

const SERVERS: [Setup; 3] = [
    ("accepts and is silent", accepting, "false"),
    ("stops in the TLS handshake", half_open_handshake, "true"),
    ("drops SYNs", dropping, "false"),
];

/// Starts a boot that waits for the server.
fn start(image: &Image, server: &SilentServer, ssl: &str, deadline: &str) -> Child {
    let mut boot = binary();
    boot.arg("boot").envs([
        ("DB_CLIENT", "pg"),
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", &server.address.port().to_string()),
        ("DB_DATABASE", "directus"),
        ("DB_USER", "directus"),
        ("DB_PASSWORD", "hunter2-secret"),
        ("DB_SSL", ssl),
        ("SECRET", "hunter2-secret"),
        ("BOOT_DATABASE_TIMEOUT", deadline),
    ]);
    image.set_paths(&mut boot);
    boot.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

#[test]
fn deadline_holds_on_each_network() {
    for (kind, server, ssl) in SERVERS {
        let (image, server) = (Image::new(), server());
        let began = Instant::now();
        let ended = BootResult::of(start(&image, &server, ssl, "1").wait_with_output().expect("it ends"));
        assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{kind}: {:?}", began.elapsed());
        let words = ["within 1 s: no answer for 1 s", "nothing was changed: check DB_HOST, DB_PORT, the network"];
        ended.assert_failed("database", ExitCode::DatabaseUnreachable, &words);
    }
}

#[tokio::test]
async fn first_address_that_drops_syns_does_not_hide_the_second() {
    let (dead, live) = (dropping(), accepting());
    let began = Instant::now();
    let stream = dial(&[dead.address, live.address]).await.expect("the second address");
    assert_eq!(stream.peer_addr().ok(), Some(live.address));
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{:?}", began.elapsed());
}

#[test]
fn signal_ends_every_wait_at_once() {
    for (kind, server, ssl) in SERVERS {
        let (image, server) = (Image::new(), server());
        let boot = start(&image, &server, ssl, "60");
        std::thread::sleep(Duration::from_millis(500));
        let signalled = Instant::now();
        let killed = Command::new("kill").arg(boot.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        let ended = BootResult::of(boot.wait_with_output().expect("it ends"));
        assert!(signalled.elapsed() < SLACK, "{kind}: {:?}", signalled.elapsed());
        ended.assert_failed("database", ExitCode::Terminated, &["SIGTERM ended the boot"]);
    }
}
