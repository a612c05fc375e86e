//! The proxy itself: a thread of its own, so that whoever waits for a process does not hold it up.

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

/// A running proxy. Dropping it closes everything that goes through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Its end, by being dropped, is what the thread waits for.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens, and passes every connection on to `upstream`. Port 0 is any free one.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn start(listen: SocketAddr, upstream: SocketAddr, fault: Option<Fault>) -> io::Result<Proxy> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Not the runtime's: whoever starts a proxy may stand in one, and cannot wait for another.
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
        let thread = std::thread::Builder::new().name("pgcut".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Proxy { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.state().trace.clone()
    }

    /// When and at which message the fault came, if it has come.
    #[must_use]
    pub fn hit(&self) -> Option<Hit> {
        self.shared.state().hit
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there is a defect of the proxy, and has been printed.
            drop(thread.join());
        }
    }
}

/// A fault that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// At which message.
    pub message: Message,
    /// When.
    pub at: Instant,
}

/// How the proxy treats everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Passing,
    Frozen,
    /// About to be [`Mode::Down`]: nobody is let in any more.
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
    /// By direction.
    counts: [usize; 2],
    connections: usize,
    fault: Option<Fault>,
    hit: Option<Hit>,
}

impl State {
    fn new(fault: Option<Fault>) -> State {
        State { trace: Trace::default(), counts: [0; 2], connections: 0, fault, hit: None }
    }

    /// Notes a message that is about to be passed on, and hands out the fault if this is its message.
    fn note(&mut self, message: Message) -> Option<Fault> {
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

    /// Waits until everybody is treated so.
    async fn becomes(&self, wanted: Mode) {
        let mut mode = self.mode.subscribe();
        // The sender lives as long as we do.
        drop(mode.wait_for(|mode| *mode == wanted).await);
    }
}

async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    tokio::select! {
        () = accept(&shared, &listener) => {}
        () = shared.becomes(Mode::Closing) => {}
    }
    // From here on connections are refused; only then are the others broken, so that none of them comes back.
    drop(listener);
    shared.mode.send_replace(Mode::Down);
    pending().await
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        // What is wrong with one connection (it was reset before it was taken) is no concern of the others.
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections
        };
        tokio::spawn(connection(Arc::clone(shared), client, number));
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// In good order.
    Closed,
    /// It was broken.
    Broken,
}

async fn connection(shared: Arc<Shared>, mut client: TcpStream, number: usize) {
    if *shared.mode.borrow() == Mode::Frozen {
        return pending().await;
    }
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else {
        // As the server itself would have refused it.
        drop(client.set_zero_linger());
        return;
    };
    for stream in [&client, &server] {
        drop(stream.set_nodelay(true));
    }
    let end = {
        let stage = Mutex::new(Stage::Startup);
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let pump = |direction| Pump { shared: &shared, stage: &stage, direction, number };
        tokio::select! {
            end = pump(Direction::ToServer).run(from_client, to_server) => end,
            end = pump(Direction::ToClient).run(from_server, to_client) => end,
            () = shared.becomes(Mode::Frozen) => pending().await,
            () = shared.becomes(Mode::Down) => End::Broken,
        }
    };
    if end == End::Broken {
        for stream in [&client, &server] {
            drop(stream.set_zero_linger());
        }
    }
}

/// One direction of one connection.
struct Pump<'a> {
    shared: &'a Shared,
    stage: &'a Mutex<Stage>,
    direction: Direction,
    number: usize,
}

impl Pump<'_> {
    async fn run(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> End {
        // An error is that of a broken connection: it is passed on as one.
        self.pass(from, to).await.unwrap_or(End::Broken)
    }

    async fn pass(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<End> {
        let mut buffer = Vec::new();
        loop {
            if from.read_buf(&mut buffer).await? == 0 {
                // Half a message is as good as none, but it is not ours to keep.
                to.write_all(&buffer).await?;
                return Ok(End::Closed);
            }
            let mut whole = 0;
            while let Some((kind, length)) = self.next(&buffer[whole..]) {
                let message = Message { direction: self.direction, connection: self.number, kind, length };
                let fault = self.shared.state().note(message);
                whole += length;
                let Some(Fault { position, action, .. }) = fault else { continue };
                let passed = whole - length + position.passes(length);
                to.write_all(&buffer[..passed]).await?;
                match action {
                    Action::Close => return Ok(End::Closed),
                    Action::Reset => return Ok(End::Broken),
                    Action::Down => self.shared.mode.send_replace(Mode::Closing),
                    Action::Freeze => self.shared.mode.send_replace(Mode::Frozen),
                    Action::Call(call) => {
                        call();
                        buffer.drain(..passed);
                        whole -= passed;
                        continue;
                    }
                };
                // The connection's own watch on the mode does the rest.
                return pending().await;
            }
            if *self.stage() == Stage::Opaque {
                whole = buffer.len();
            }
            to.write_all(&buffer[..whole]).await?;
            buffer.drain(..whole);
        }
    }

    /// The type and length of the next whole message. The stage is the next one's before this one is passed on, so that
    /// its answer is read rightly.
    fn next(&self, bytes: &[u8]) -> Option<(char, usize)> {
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

    /// A server that says READY once for the start and for each query, whatever that is.
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

    /// A client that has said something and waits for what comes.
    fn client(proxy: &Proxy, says: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(says).unwrap();
        stream
    }

    /// What comes until nothing more does, and how that ends.
    fn hears(mut stream: &TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut heard = Vec::new();
        let mut byte = [0];
        loop {
            match stream.read(&mut byte) {
                Ok(0) => return (heard, None),
                Ok(_) => heard.push(byte[0]),
                Err(error) => return (heard, Some(error.kind())),
            }
        }
    }

    #[test]
    fn messages_are_counted_over_all_connections_and_passed_on_as_they_are() {
        let proxy = proxy(None);
        let one = client(&proxy, &[STARTUP, QUERY].concat());
        assert_eq!(hears(&one), ([READY, READY].concat(), Some(io::ErrorKind::WouldBlock)));
        let two = client(&proxy, STARTUP);
        assert_eq!(hears(&two).0, READY);
        let trace = proxy.trace();
        assert_eq!((trace.count(Direction::ToServer), trace.count(Direction::ToClient)), (3, 3));
        assert_eq!(trace.connections(), 2);
        let second = trace.nth(Direction::ToServer, 2).unwrap();
        assert_eq!((second.kind, second.connection, second.length), ('Q', 1, 9));
        assert_eq!(proxy.hit(), None);
    }

    #[test]
    fn a_cut_comes_before_in_the_middle_of_or_after_its_message() {
        for (position, heard) in [(Position::Before, 6), (Position::Middle, 9), (Position::After, 12)] {
            let proxy = proxy(Some((Direction::ToClient, 2, position, Action::Close)));
            let client = client(&proxy, &[STARTUP, QUERY, QUERY].concat());
            let (said, end) = hears(&client);
            // Whether the client sees FIN or RST depends on whether it has been listened to.
            assert_eq!(said.len(), heard, "{position}");
            assert_ne!(end, Some(io::ErrorKind::WouldBlock), "{position}");
            assert_eq!(proxy.hit().map(|hit| hit.message.kind), Some('Z'));
        }
    }

    #[test]
    fn a_message_that_is_cut_off_never_reaches_the_server_whole() {
        for (position, answers) in [(Position::Before, 1), (Position::Middle, 1)] {
            let proxy = proxy(Some((Direction::ToServer, 2, position, Action::Reset)));
            let mut stream = client(&proxy, STARTUP);
            stream.read_exact(&mut [0; 6]).unwrap();
            stream.write_all(QUERY).unwrap();
            assert_eq!(hears(&stream), (Vec::new(), Some(io::ErrorKind::ConnectionReset)), "{position}");
            assert_eq!(proxy.trace().count(Direction::ToClient), answers);
            // Another connection is none of its concern.
            assert_eq!(hears(&client(&proxy, STARTUP)).0, READY);
        }
    }

    #[test]
    fn a_server_that_is_down_breaks_all_connections_and_refuses_new_ones() {
        let proxy = proxy(Some((Direction::ToServer, 3, Position::Before, Action::Down)));
        let first = client(&proxy, STARTUP);
        assert_eq!(hears(&first).0, READY);
        let second = client(&proxy, &[STARTUP, QUERY].concat());
        assert_eq!(hears(&second).1, Some(io::ErrorKind::ConnectionReset));
        assert_eq!(hears(&first).1, Some(io::ErrorKind::ConnectionReset));
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_frozen_server_says_nothing_and_closes_nothing() {
        let proxy = proxy(Some((Direction::ToServer, 2, Position::Before, Action::Freeze)));
        let mut frozen = client(&proxy, STARTUP);
        assert_eq!(hears(&frozen).0, READY);
        frozen.write_all(QUERY).unwrap();
        assert_eq!(hears(&frozen), (Vec::new(), Some(io::ErrorKind::WouldBlock)));
        let new = client(&proxy, STARTUP);
        assert_eq!(hears(&new), (Vec::new(), Some(io::ErrorKind::WouldBlock)));
        // Its end is everybody's.
        drop(proxy);
        assert_ne!(hears(&new).1, Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn a_call_is_made_at_its_message_and_then_all_goes_on() {
        for position in [Position::Before, Position::Middle, Position::After] {
            let (called, calls) = mpsc::channel();
            let action = Action::Call(Box::new(move || called.send(()).unwrap()));
            let proxy = proxy(Some((Direction::ToServer, 2, position, action)));
            let client = client(&proxy, &[STARTUP, QUERY, QUERY].concat());
            assert_eq!(hears(&client).0, [READY, READY, READY].concat(), "{position}");
            assert_eq!(calls.try_iter().count(), 1);
            client.shutdown(Shutdown::Both).unwrap();
        }
    }
}
