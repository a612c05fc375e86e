//! The proxy itself, on a separate thread, so that a caller that waits for a process does not block it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::fault::{Action, Direction, Fault};
use crate::frame::{Stage, of_client, of_server};
use crate::trace::{Message, Trace};

/// A running proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Dropping it stops the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens, and passes every connection on to `upstream`. Port 0 stands for any free port.
    ///
    /// # Errors
    /// Fails if the proxy cannot listen on the address.
    pub fn start(listen: SocketAddr, upstream: SocketAddr, fault: Option<Fault>) -> io::Result<Proxy> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Not Tokio's listener, whose bind is async: the caller may be inside a runtime, which cannot block on another.
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { upstream, state: Mutex::new(State::new(fault)), mode: watch::Sender::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let serving = serve(Arc::clone(&shared), listener);
        let thread = std::thread::Builder::new().name("pg-fault-proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Proxy { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address that the proxy listens on, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the messages so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.state().trace.clone()
    }

    /// Returns the time and the message of the fault, once it was injected.
    #[must_use]
    pub fn hit(&self) -> Option<Hit> {
        self.shared.state().hit
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug in the proxy, and has been printed.
            drop(thread.join());
        }
    }
}

/// An injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The message at which it was injected.
    pub message: Message,
    /// The time just before the action.
    pub at: Instant,
}

/// The state of the proxy as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Passing,
    Frozen,
    /// On the way to [`Mode::Down`]: the listener is about to be closed.
    Closing,
    Down,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    mode: watch::Sender<Mode>,
}

#[derive(Debug)]
struct State {
    trace: Trace,
    /// Messages so far, by direction.
    counts: [usize; 2],
    connections: usize,
    fault: Option<Fault>,
    hit: Option<Hit>,
}

impl State {
    fn new(fault: Option<Fault>) -> State {
        State { trace: Trace::default(), counts: [0; 2], connections: 0, fault, hit: None }
    }

    /// Records a message that is about to be passed on, and returns the fault if this is its message.
    fn record(&mut self, message: Message) -> Option<Fault> {
        self.trace.messages.push(message);
        let count = &mut self.counts[message.direction as usize];
        *count += 1;
        let n = *count;
        let fault = self.fault.take_if(|fault| fault.direction == message.direction && fault.n == n)?;
        self.hit = Some(Hit { message, at: Instant::now() });
        Some(fault)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the proxy is in this mode.
    async fn becomes(&self, wanted: Mode) {
        let mut mode = self.mode.subscribe();
        // The sender lives as long as `self`.
        drop(mode.wait_for(|current| *current == wanted).await);
    }
}

async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    tokio::select! {
        () = accept(&shared, &listener) => {}
        () = shared.becomes(Mode::Closing) => {}
    }
    // From here on connections are refused. Only then are the others reset, so that no client can reconnect.
    drop(listener);
    shared.mode.send_replace(Mode::Down);
    pending().await
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        // An error concerns one connection alone: it was reset before it was accepted.
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections
        };
        tokio::spawn(connection(Arc::clone(shared), client, number));
    }
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By FIN.
    Closed,
    /// By RST.
    Reset,
}

async fn connection(shared: Arc<Shared>, mut client: TcpStream, number: usize) {
    if *shared.mode.borrow() == Mode::Frozen {
        return pending().await;
    }
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else {
        // A reset is the closest to the server's own refusal.
        drop(client.set_zero_linger());
        return;
    };
    for stream in [&client, &server] {
        drop(stream.set_nodelay(true));
    }
    let end = {
        let stage = Mutex::new(Stage::Startup);
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let to_server_pump = Pump { shared: &shared, stage: &stage, direction: Direction::ToServer, number };
        let to_client_pump = Pump { direction: Direction::ToClient, ..to_server_pump };
        tokio::select! {
            end = to_server_pump.run(from_client, to_server) => end,
            end = to_client_pump.run(from_server, to_client) => end,
            () = shared.becomes(Mode::Frozen) => pending().await,
            () = shared.becomes(Mode::Down) => End::Reset,
        }
    };
    if end == End::Reset {
        for stream in [&client, &server] {
            drop(stream.set_zero_linger());
        }
    }
}

/// The copy loop of one direction of one connection.
#[derive(Clone, Copy)]
struct Pump<'a> {
    shared: &'a Shared,
    stage: &'a Mutex<Stage>,
    direction: Direction,
    number: usize,
}

impl Pump<'_> {
    async fn run(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> End {
        // An error means that one side was reset: the other side is reset, too.
        self.pass(from, to).await.unwrap_or(End::Reset)
    }

    async fn pass(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<End> {
        let mut buffer = Vec::new();
        loop {
            if from.read_buf(&mut buffer).await? == 0 {
                // The rest may be half of a message, and is passed on all the same.
                to.write_all(&buffer).await?;
                return Ok(End::Closed);
            }
            let mut whole = 0;
            while let Some((kind, length)) = self.next_message(&buffer[whole..]) {
                let message = Message { direction: self.direction, connection: self.number, kind, length };
                let fault = self.shared.state().record(message);
                whole += length;
                let Some(Fault { position, action, .. }) = fault else { continue };
                let passed = whole - length + position.passes(length);
                to.write_all(&buffer[..passed]).await?;
                match action {
                    Action::Close => return Ok(End::Closed),
                    Action::Reset => return Ok(End::Reset),
                    Action::Down => self.shared.mode.send_replace(Mode::Closing),
                    Action::Freeze => self.shared.mode.send_replace(Mode::Frozen),
                    Action::Call(call) => {
                        call();
                        buffer.drain(..passed);
                        whole -= passed;
                        continue;
                    }
                };
                // The connection watches the mode, and ends or freezes by itself.
                return pending().await;
            }
            if *self.stage() == Stage::Opaque {
                whole = buffer.len();
            }
            to.write_all(&buffer[..whole]).await?;
            buffer.drain(..whole);
        }
    }

    /// Returns the type and the length of the next complete message, and advances the stage: it must be that of the
    /// next message before this one is passed on, so that the reply is read correctly.
    fn next_message(&self, bytes: &[u8]) -> Option<(char, usize)> {
        let mut stage = self.stage();
        let frame = match self.direction {
            Direction::ToServer => of_client(*stage, bytes)?,
            Direction::ToClient => of_server(*stage, bytes)?,
        };
        *stage = frame.next;
        Some((frame.kind, frame.length))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::fault::Position;

    const STARTUP: &[u8] = b"\0\0\0\x08\0\x03\0\0";
    const QUERY: &[u8] = b"Q\0\0\0\x08abc\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    /// Starts a server that sends READY once for the startup message and once for each nine bytes, the length of QUERY.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut length = STARTUP.len();
                    while stream.read_exact(&mut [0; 9][..length]).is_ok() && stream.write_all(READY).is_ok() {
                        length = QUERY.len();
                    }
                });
            }
        });
        address
    }

    fn proxy(fault: Option<(Direction, usize, Position, Action)>) -> Proxy {
        let fault = fault.map(|(direction, n, position, action)| Fault { direction, n, position, action });
        Proxy::start("127.0.0.1:0".parse().unwrap(), server(), fault).unwrap()
    }

    /// Connects and sends these bytes. Reads time out after 300 ms.
    fn client(proxy: &Proxy, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Reads until the end of the stream, an error or a timeout, and returns the bytes and the error.
    fn read_all(mut stream: &TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut received = Vec::new();
        let mut byte = [0];
        loop {
            match stream.read(&mut byte) {
                Ok(0) => return (received, None),
                Ok(_) => received.push(byte[0]),
                Err(error) => return (received, Some(error.kind())),
            }
        }
    }

    #[test]
    fn messages_are_counted_over_all_connections_and_passed_on_unchanged() {
        let proxy = proxy(None);
        let one = client(&proxy, &[STARTUP, QUERY].concat());
        assert_eq!(read_all(&one), ([READY, READY].concat(), Some(io::ErrorKind::WouldBlock)));
        let two = client(&proxy, STARTUP);
        assert_eq!(read_all(&two).0, READY);
        let trace = proxy.trace();
        assert_eq!((trace.count(Direction::ToServer), trace.count(Direction::ToClient)), (3, 3));
        assert_eq!(trace.connections(), 2);
        let second = trace.nth(Direction::ToServer, 2).unwrap();
        assert_eq!((second.kind, second.connection, second.length), ('Q', 1, 9));
        assert_eq!(proxy.hit(), None);
    }

    #[test]
    fn close_comes_before_within_or_after_its_message() {
        for (position, length) in [(Position::Before, 6), (Position::Middle, 9), (Position::After, 12)] {
            let proxy = proxy(Some((Direction::ToClient, 2, position, Action::Close)));
            let client = client(&proxy, &[STARTUP, QUERY, QUERY].concat());
            let (received, end) = read_all(&client);
            // The client gets RST instead of FIN if the proxy had not read all of its bytes.
            assert_eq!(received.len(), length, "{position}");
            assert_ne!(end, Some(io::ErrorKind::WouldBlock), "{position}");
            assert_eq!(proxy.hit().map(|hit| hit.message.kind), Some('Z'));
        }
    }

    #[test]
    fn message_with_a_reset_never_reaches_the_server_whole() {
        for (position, answers) in [(Position::Before, 1), (Position::Middle, 1)] {
            let proxy = proxy(Some((Direction::ToServer, 2, position, Action::Reset)));
            let mut stream = client(&proxy, STARTUP);
            stream.read_exact(&mut [0; 6]).unwrap();
            stream.write_all(QUERY).unwrap();
            assert_eq!(read_all(&stream), (Vec::new(), Some(io::ErrorKind::ConnectionReset)), "{position}");
            assert_eq!(proxy.trace().count(Direction::ToClient), answers);
            // Other connections are not affected.
            assert_eq!(read_all(&client(&proxy, STARTUP)).0, READY);
        }
    }

    #[test]
    fn down_resets_all_connections_and_refuses_new_ones() {
        let proxy = proxy(Some((Direction::ToServer, 3, Position::Before, Action::Down)));
        let first = client(&proxy, STARTUP);
        assert_eq!(read_all(&first).0, READY);
        let second = client(&proxy, &[STARTUP, QUERY].concat());
        assert_eq!(read_all(&second).1, Some(io::ErrorKind::ConnectionReset));
        assert_eq!(read_all(&first).1, Some(io::ErrorKind::ConnectionReset));
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn freeze_passes_nothing_on_and_closes_nothing() {
        let proxy = proxy(Some((Direction::ToServer, 2, Position::Before, Action::Freeze)));
        let mut frozen = client(&proxy, STARTUP);
        assert_eq!(read_all(&frozen).0, READY);
        frozen.write_all(QUERY).unwrap();
        assert_eq!(read_all(&frozen), (Vec::new(), Some(io::ErrorKind::WouldBlock)));
        let new = client(&proxy, STARTUP);
        assert_eq!(read_all(&new), (Vec::new(), Some(io::ErrorKind::WouldBlock)));
        // Dropping the proxy closes frozen connections, too.
        drop(proxy);
        assert_ne!(read_all(&new).1, Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn call_runs_once_at_its_message_and_all_messages_arrive() {
        for position in [Position::Before, Position::Middle, Position::After] {
            let (called, calls) = mpsc::channel();
            let action = Action::Call(Box::new(move || called.send(()).unwrap()));
            let proxy = proxy(Some((Direction::ToServer, 2, position, action)));
            let client = client(&proxy, &[STARTUP, QUERY, QUERY].concat());
            assert_eq!(read_all(&client).0, [READY, READY, READY].concat(), "{position}");
            assert_eq!(calls.try_iter().count(), 1);
            client.shutdown(Shutdown::Both).unwrap();
        }
    }
}
