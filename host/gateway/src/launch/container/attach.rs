//! One attached stream of frames becomes a stdout to read and a stderr that is kept short.

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::launch::stderr::Stderr;

/// Takes the frames apart until the stream ends. Without `stdout`, or once nobody reads it, what is said there is
/// dropped or, for a server that speaks HTTP, treated like stderr.
pub(super) async fn split(
    mut frames: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    mut stdout: Stdout<impl AsyncWrite + Unpin>,
    stderr: Stderr,
) {
    while let Some(Ok(frame)) = frames.next().await {
        match (frame, &mut stdout) {
            (LogOutput::StdOut { message }, Stdout::Messages(pipe)) => {
                let read = pipe.write_all(&message).await.is_ok();
                stdout = if read { stdout } else { Stdout::Nobody };
            }
            (LogOutput::StdOut { message }, Stdout::Log) | (LogOutput::StdErr { message }, _) => {
                stderr.take(&message).await;
            }
            // Without a terminal there is no console, and stdin is not echoed.
            _ => {}
        }
    }
}

/// What a container's stdout is.
pub(super) enum Stdout<W> {
    /// The protocol.
    Messages(W),
    /// Words for people.
    Log,
    /// Of no interest to anybody any more.
    Nobody,
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use wasmgate_core::name::ServerName;

    use super::*;

    #[tokio::test]
    async fn frames_go_where_they_belong() {
        let frames = || {
            let out = |message: &'static str| Ok(LogOutput::StdOut { message: message.into() });
            let err = |message: &'static str| Ok(LogOutput::StdErr { message: message.into() });
            futures_util::stream::iter([out("{\"a\""), err("war"), out(":1}\n"), err("ning\n")])
        };
        let stderr = || Stderr::new(&ServerName::new("s").unwrap(), &[], &[]);

        let (pipe, mut reader) = tokio::io::duplex(1024);
        let said = stderr();
        split(frames(), Stdout::Messages(pipe), said.clone()).await;
        let mut messages = String::new();
        reader.read_to_string(&mut messages).await.unwrap();
        assert_eq!((messages.as_str(), said.tail().as_str()), ("{\"a\":1}\n", "warning"));

        let (pipe, reader) = tokio::io::duplex(1);
        drop(reader);
        let said = stderr();
        split(frames(), Stdout::Messages(pipe), said.clone()).await;
        assert_eq!(said.tail(), "warning", "stderr is read on when nobody reads stdout");

        let said = stderr();
        split(frames(), Stdout::<tokio::io::DuplexStream>::Log, said.clone()).await;
        assert_eq!(said.tail(), "{\"a\"war:1}\nning");
    }
}
