//! PostgreSQL's framing: where a message ends, and what it is called.
//!
//! After the start every message is a type byte, then a length that counts itself but not the type. The client's first
//! message has no type byte, and the answer to a request for encryption is a single byte.

use crate::trace::Message;

/// The codes that stand in the place of a protocol version.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// A length that no message has: what claims it is no message of PostgreSQL's.
const LIMIT: usize = 1 << 30;

/// Where a connection stands; it decides how the next bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The client has yet to say its first message.
    Startup,
    /// The server has yet to answer a request for encryption.
    Encryption,
    /// Messages with a type.
    Messages,
    /// No messages to be seen any more.
    Opaque,
}

/// A whole message at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// See [`Message::kind`].
    pub(crate) kind: char,
    /// With its header.
    pub(crate) length: usize,
    /// Where the connection stands after it.
    pub(crate) next: Stage,
}

/// The client's next message, if it is all there.
pub(crate) fn of_client(stage: Stage, bytes: &[u8]) -> Option<Frame> {
    match stage {
        // It speaks only after the answer, unless it is none of PostgreSQL's clients.
        Stage::Encryption | Stage::Opaque => None,
        Stage::Messages => typed(bytes),
        Stage::Startup => {
            let length = length(bytes, 0)?;
            let code = number(bytes, 4)?;
            let (kind, next) = match code {
                SSL | GSS => (Message::REQUEST, Stage::Encryption),
                CANCEL => (Message::REQUEST, Stage::Opaque),
                _ => (Message::STARTUP, Stage::Messages),
            };
            (bytes.len() >= length).then_some(Frame { kind, length, next })
        }
    }
}

/// The server's next message, if it is all there.
pub(crate) fn of_server(stage: Stage, bytes: &[u8]) -> Option<Frame> {
    match (stage, bytes.first()?) {
        (Stage::Opaque, _) => None,
        (Stage::Encryption, b'N') => Some(Frame { kind: Message::ENCRYPTION, length: 1, next: Stage::Startup }),
        (Stage::Encryption, b'S' | b'G') => Some(Frame { kind: Message::ENCRYPTION, length: 1, next: Stage::Opaque }),
        // A server may answer with an error at any time, also instead of about encryption.
        _ => typed(bytes),
    }
}

fn typed(bytes: &[u8]) -> Option<Frame> {
    let length = length(bytes, 1)? + 1;
    let kind = char::from(bytes[0]);
    (bytes.len() >= length).then_some(Frame { kind, length, next: Stage::Messages })
}

fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let length = usize::try_from(number(bytes, at)?).ok()?;
    assert!((4..LIMIT).contains(&length), "this is not PostgreSQL's protocol: a message of {length} bytes");
    Some(length)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(code: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(8 + rest.len()).unwrap();
        [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
    }

    #[test]
    fn the_first_message_has_no_type_and_may_ask_for_encryption() {
        let bytes = startup(196_608, b"user\0me\0\0");
        let frame = Frame { kind: Message::STARTUP, length: 17, next: Stage::Messages };
        assert_eq!(of_client(Stage::Startup, &bytes), Some(frame));
        let frame = of_client(Stage::Startup, &startup(SSL, b"")).unwrap();
        assert_eq!((frame.kind, frame.length, frame.next), (Message::REQUEST, 8, Stage::Encryption));
    }

    #[test]
    fn an_answer_to_that_is_one_byte_and_decides_whether_there_are_messages() {
        let next = |answer: &[u8]| of_server(Stage::Encryption, answer).map(|frame| (frame.length, frame.next));
        assert_eq!(next(b"N"), Some((1, Stage::Startup)));
        assert_eq!(next(b"S"), Some((1, Stage::Opaque)));
        assert_eq!(next(b"E\0\0\0\x05x"), Some((6, Stage::Messages)));
        assert_eq!(of_server(Stage::Opaque, b"\x16\x03\x01\0\0"), None);
    }

    #[test]
    fn a_message_is_one_only_when_all_of_it_is_there() {
        let bytes = b"Q\0\0\0\x08abc\0S\0\0\0\x04";
        for end in 0..9 {
            assert_eq!(of_client(Stage::Messages, &bytes[..end]), None, "{end}");
        }
        let frame = of_client(Stage::Messages, bytes).unwrap();
        assert_eq!((frame.kind, frame.length), ('Q', 9));
        assert_eq!(of_client(Stage::Messages, &bytes[9..]).unwrap().kind, 'S');
    }

    #[test]
    #[should_panic(expected = "not PostgreSQL's protocol")]
    fn another_protocol_is_found_out() {
        of_client(Stage::Messages, b"GET / HTTP/1.1");
    }
}
