//! Headers that belong to one connection and not to the message on it. Whoever passes a message on leaves them out; whoever
//! is told which headers to send refuses them. What `Connection` itself lists beyond these is the reader's to look at.

/// RFC 9110, section 7.6.1; `keep-alive` and `proxy-connection` by custom. In small letters.
pub const OF_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header of this name, in small letters, is one of them.
pub fn is_of_connection(name: &str) -> bool {
    OF_CONNECTION.contains(&name)
}
