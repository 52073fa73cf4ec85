//! The name in the first message of TLS (RFC 8446, 4.1.2; RFC 6066, 3), read without trusting a byte of it.
//!
//! With Encrypted Client Hello (RFC 9849) this is the outer name, which is the one the network can check.

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Hello {
    /// A ClientHello, with the name in it.
    Named(String),
    /// A ClientHello without a name.
    Nameless,
    /// Something else.
    NotTls,
    /// A ClientHello that contradicts itself.
    Malformed,
    /// More than any ClientHello needs, in bytes or in time.
    Endless,
    /// The end of the connection.
    #[default]
    Nothing,
}

impl Hello {
    /// Whether it is TLS to that host.
    ///
    /// # Errors
    /// What is wrong, after "a tunnel to x".
    pub(super) fn is_for(&self, host: &str) -> Result<(), &'static str> {
        let address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        match self {
            Self::Named(name) if name.eq_ignore_ascii_case(host) => Ok(()),
            Self::Named(_) => Err("was used to speak TLS to another host"),
            Self::Nameless if address => Ok(()),
            Self::Nameless => Err("was used to speak TLS without naming the host"),
            Self::NotTls => Err("was used for something other than TLS"),
            Self::Malformed => Err("began with a malformed TLS message"),
            Self::Endless => Err("did not begin with a TLS message in time"),
            Self::Nothing => Err("was closed before anything was said"),
        }
    }
}

/// What the bytes so far are; `None` when it takes more of them to say.
pub(super) fn read(bytes: &[u8]) -> Option<Hello> {
    let mut message = Vec::new();
    let mut rest = Reader(bytes);
    // A handshake message may lie in several records.
    loop {
        let tls = |at: usize, byte: u8| rest.0.get(at).is_none_or(|found| *found == byte);
        if !tls(0, HANDSHAKE) || !tls(1, 3) {
            return Some(if message.is_empty() { Hello::NotTls } else { Hello::Malformed });
        }
        rest.take(3)?;
        let length = rest.u16()?;
        if length == 0 || length > RECORD {
            return Some(Hello::Malformed);
        }
        let fragment = rest.0.get(..length).unwrap_or(rest.0);
        message.extend_from_slice(fragment);
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Some(Hello::Malformed);
        }
        if let Some(whole) = whole(&message) {
            return Some(name(whole).unwrap_or(Hello::Malformed));
        }
        rest.take(length)?;
    }
}

/// The body of the handshake message, when all of it is there.
fn whole(message: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(message);
    reader.take(1)?;
    let length = reader.u24()?;
    reader.take(length)
}

/// `None` when it is malformed.
fn name(body: &[u8]) -> Option<Hello> {
    let mut body = Reader(body);
    body.take(2 + 32)?; // version, random
    let session = body.u8()?;
    body.take(session)?;
    let suites = body.u16()?;
    body.take(suites)?;
    let compression = body.u8()?;
    body.take(compression)?;
    if body.0.is_empty() {
        return Some(Hello::Nameless);
    }
    let length = body.u16()?;
    let mut extensions = Reader(body.take(length)?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let (kind, length) = (extensions.u16()?, extensions.u16()?);
        let content = extensions.take(length)?;
        if kind == SERVER_NAME {
            // A second one would leave open which of them the other side obeys.
            if found.replace(server_name(content)?).is_some() {
                return None;
            }
        }
    }
    Some(found.map_or(Hello::Nameless, Hello::Named))
}

/// The one name of type `host_name`.
fn server_name(content: &[u8]) -> Option<String> {
    let mut content = Reader(content);
    let length = content.u16()?;
    let mut list = Reader(content.take(length)?);
    (list.u8()? == 0).then_some(())?;
    let length = list.u16()?;
    let name = list.take(length)?;
    let alone = list.0.is_empty() && content.0.is_empty();
    let text = std::str::from_utf8(name).ok().filter(|text| alone && text.is_ascii() && !text.is_empty())?;
    Some(text.to_owned())
}

/// Bytes, taken from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn u8(&mut self) -> Option<usize> {
        self.number(1)
    }

    fn u16(&mut self) -> Option<usize> {
        self.number(2)
    }

    fn u24(&mut self) -> Option<usize> {
        self.number(3)
    }
}

/// The type of a record with handshake messages.
const HANDSHAKE: u8 = 22;
/// The type of the first handshake message.
const CLIENT_HELLO: u8 = 1;
/// The extension with the name.
const SERVER_NAME: usize = 0;
/// How long a record may be.
const RECORD: usize = 1 << 14;

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// What a client of this name says first.
    pub(in crate::egress::proxy) fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_name_of_a_real_client_is_read() {
        let bytes = hello("api.example.com");
        assert_eq!(read(&bytes), Some(Hello::Named("api.example.com".to_owned())));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), None, "{end} bytes of it are too few to say");
        }
        assert_eq!(read(&hello("192.0.2.1")), Some(Hello::Nameless), "an address is not a name");
    }

    #[test]
    fn a_hello_in_many_records_is_one() {
        let bytes = hello("api.example.com");
        for size in [1, 2, 3, 50, 200] {
            let records = bytes[5..].chunks(size).flat_map(|part| {
                let length = u16::try_from(part.len()).unwrap().to_be_bytes();
                [vec![22, 3, 1], length.to_vec(), part.to_vec()].concat()
            });
            let records: Vec<u8> = records.collect();
            assert_eq!(read(&records), Some(Hello::Named("api.example.com".to_owned())), "{size}");
        }
    }

    #[test]
    fn what_is_no_hello_is_said_so() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Some(Hello::NotTls));
        assert_eq!(read(b"SSH-2.0-x"), Some(Hello::NotTls));
        assert_eq!(read(&[22, 2, 0]), Some(Hello::NotTls));
        assert_eq!(read(&[22, 3, 1, 0, 0]), Some(Hello::Malformed), "an empty record");
        assert_eq!(read(&[22, 3, 1, 0x40, 1]), Some(Hello::Malformed), "a record that is too long");
        assert_eq!(read(&[22, 3, 1, 0, 1, 2]), Some(Hello::Malformed), "a ServerHello");
        assert_eq!(read(&[22, 3, 1, 0, 1, 1, 23, 3, 3]), Some(Hello::Malformed), "data between the records");
        assert_eq!(
            read(&[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]),
            Some(Hello::Malformed),
            "a hello that is too short"
        );
    }

    /// A hello with these extensions.
    fn with(extensions: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        let body =
            [vec![3; 34], vec![0, 0, 2, 0x13, 1, 1, 0], length(extensions), extensions.to_vec()].concat();
        let message = [vec![1, 0], length(&body), body].concat();
        [vec![22, 3, 1], length(&message), message].concat()
    }

    #[test]
    fn a_name_is_one_name() {
        let one = |name: &[u8]| {
            let size = u8::try_from(name.len()).unwrap();
            [&[0, 0, 0, size + 5, 0, size + 3, 0, 0, size], name].concat()
        };
        assert_eq!(read(&with(&one(b"a.example"))), Some(Hello::Named("a.example".to_owned())));
        assert_eq!(read(&with(&[])), Some(Hello::Nameless));
        let twice = [one(b"a.example"), one(b"b.example")].concat();
        assert_eq!(read(&with(&twice)), Some(Hello::Malformed));
        assert_eq!(read(&with(&one(b""))), Some(Hello::Malformed));
        assert_eq!(read(&with(&one("ä.example".as_bytes()))), Some(Hello::Malformed));
        let two_in_one = [&[0, 0, 0, 13, 0, 11, 0, 0, 3][..], b"a.b", &[0, 0, 2], b"c."].concat();
        assert_eq!(read(&with(&two_in_one)), Some(Hello::Malformed));
        assert_eq!(read(&with(&[0, 0, 0, 9])), Some(Hello::Malformed));
    }

    #[test]
    fn the_name_must_be_the_host() {
        let named = |name: &str| Hello::Named(name.to_owned());
        assert!(named("A.example").is_for("a.example").is_ok());
        assert!(named("b.example").is_for("a.example").is_err());
        assert!(named("a.example").is_for("192.0.2.1").is_err());
        assert!(Hello::Nameless.is_for("192.0.2.1").is_ok());
        assert!(Hello::Nameless.is_for("[2001:db8::1]").is_ok());
        assert!(Hello::Nameless.is_for("a.example").is_err());
        for other in [Hello::NotTls, Hello::Malformed, Hello::Endless, Hello::Nothing] {
            assert!(other.is_for("a.example").is_err() && other.is_for("192.0.2.1").is_err());
        }
    }
}
