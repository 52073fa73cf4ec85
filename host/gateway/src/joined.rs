//! Short messages leave in one piece: head and body of an HTTP message are two slices, and for two small ones a gathering
//! write costs the kernel more than it costs to lay them side by side first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream on which several short slices are written as one.
#[derive(Debug)]
pub struct Joined<T>(pub T);

/// What is short, in bytes.
const SHORT: usize = 1024;

impl<T: AsyncRead + Unpin> AsyncRead for Joined<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Joined<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = bufs {
            return Pin::new(&mut self.0).poll_write(cx, one);
        }
        let mut whole = [0; SHORT];
        match lay(bufs, &mut whole) {
            Some(whole) => Pin::new(&mut self.0).poll_write(cx, whole),
            None => Pin::new(&mut self.0).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T: Connection> Connection for Joined<T> {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

/// The slices one after the other, if there is room for all of them.
fn lay<'a>(bufs: &[IoSlice<'_>], whole: &'a mut [u8; SHORT]) -> Option<&'a [u8]> {
    let mut length = 0;
    for buf in bufs {
        let end = length + buf.len();
        whole.get_mut(length..end)?.copy_from_slice(buf);
        length = end;
    }
    whole.get(..length)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Takes what is written to it, noting how.
    #[derive(Default)]
    struct Sink {
        single: Vec<Vec<u8>>,
        gathered: Vec<usize>,
    }

    impl AsyncWrite for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.single.push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.gathered.push(bufs.len());
            Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn written(slices: &[&[u8]]) -> (usize, Sink) {
        let mut stream = Joined(Sink::default());
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let count = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices)).await.unwrap();
        (count, stream.0)
    }

    #[tokio::test]
    async fn what_is_short_is_one_write_and_what_is_long_is_not_copied() {
        let (count, sink) = written(&[b"head", b"", b"body"]).await;
        assert_eq!((count, sink.single, sink.gathered), (8, vec![b"headbody".to_vec()], vec![]));
        let (count, sink) = written(&[&[1; SHORT - 1], &[2]]).await;
        assert_eq!((count, sink.single[0].len(), sink.gathered), (SHORT, SHORT, vec![]));
        let (count, sink) = written(&[&[1; SHORT], &[2]]).await;
        assert_eq!((count, sink.single.len(), sink.gathered), (SHORT + 1, 0, vec![2]));
    }

    #[tokio::test]
    async fn what_is_written_in_part_is_told_as_much() {
        let (near, mut far) = tokio::io::duplex(6);
        let mut stream = Joined(near);
        let slices = [IoSlice::new(b"head"), IoSlice::new(b"body")];
        let count = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices)).await.unwrap();
        assert_eq!(count, 6);
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"headbo");
    }
}
