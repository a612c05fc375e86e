//! PostgreSQL's framing: the type and the length of each message.
//!
//! A message is a type byte, then a length that includes itself but not the type, then the content. The client's first
//! message has no type byte, and the reply to a request for encryption is a single byte.

use crate::trace::Message;

/// Codes in the place of the protocol version.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// The upper bound for the length of a message in bytes: a longer one means that the protocol is not PostgreSQL's.
const LIMIT: usize = 1 << 30;

/// The state of a connection, which decides how the next bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The client has not sent its first message yet.
    Startup,
    /// The server has not answered a request for encryption yet.
    Encryption,
    /// Messages with a type.
    Messages,
    /// Encrypted, or a request to cancel: no further message can be recognised.
    Opaque,
}

/// A complete message at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// See [`Message::kind`].
    pub(crate) kind: char,
    /// In bytes, including the header.
    pub(crate) length: usize,
    /// The state of the connection after this message.
    pub(crate) next: Stage,
}

/// Returns the client's next message, or `None` while it is incomplete.
pub(crate) fn of_client(stage: Stage, bytes: &[u8]) -> Option<Frame> {
    match stage {
        // A client sends nothing before the reply to its request.
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

/// Returns the server's next message, or `None` while it is incomplete.
pub(crate) fn of_server(stage: Stage, bytes: &[u8]) -> Option<Frame> {
    match (stage, bytes.first()?) {
        (Stage::Opaque, _) => None,
        (Stage::Encryption, b'N') => Some(Frame { kind: Message::ENCRYPTION, length: 1, next: Stage::Startup }),
        (Stage::Encryption, b'S' | b'G') => Some(Frame { kind: Message::ENCRYPTION, length: 1, next: Stage::Opaque }),
        // A server may send an error at any time, also in reply to a request for encryption.
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
    fn first_message_has_no_type_and_may_request_encryption() {
        let bytes = startup(196_608, b"user\0me\0\0");
        let frame = Frame { kind: Message::STARTUP, length: 17, next: Stage::Messages };
        assert_eq!(of_client(Stage::Startup, &bytes), Some(frame));
        let frame = of_client(Stage::Startup, &startup(SSL, b"")).unwrap();
        assert_eq!((frame.kind, frame.length, frame.next), (Message::REQUEST, 8, Stage::Encryption));
    }

    #[test]
    fn reply_to_an_encryption_request_is_one_byte_and_decides_the_next_stage() {
        let replies: [(&[u8], _, _); 3] =
            [(b"N", 1, Stage::Startup), (b"S", 1, Stage::Opaque), (b"E\0\0\0\x05x", 6, Stage::Messages)];
        for (reply, length, next) in replies {
            let frame = of_server(Stage::Encryption, reply).unwrap();
            assert_eq!((frame.length, frame.next), (length, next));
        }
        assert_eq!(of_server(Stage::Opaque, b"\x16\x03\x01\0\0"), None);
    }

    #[test]
    fn partial_message_is_not_a_frame() {
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
    fn another_protocol_panics() {
        of_client(Stage::Messages, b"GET / HTTP/1.1");
    }
}
