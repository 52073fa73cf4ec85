//! Reading a body: to its end, or to where it may not go on.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::Wanted;
use crate::egress::Body;
use crate::oci::error::OciError;

/// A body about to be read.
pub(super) struct Reading<'a> {
    pub(super) registry: &'a str,
    pub(super) idle: Duration,
    pub(super) wanted: Wanted<'a>,
}

impl Reading<'_> {
    /// All of it. What it announces is held against the limits before a byte is read.
    pub(super) async fn whole(&self, mut body: Body) -> Result<Bytes, OciError> {
        let announced = body.size_hint().exact();
        if let Some(announced) = announced {
            self.check(announced)?;
            self.check_end(announced)?;
        }
        let expected = announced.unwrap_or_default().min(FIRST_ROOM);
        let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or_default());
        while let Some(piece) = self.piece(&mut body).await? {
            let so_far = (bytes.len() + piece.len()) as u64;
            self.check(so_far)?;
            bytes.extend_from_slice(&piece);
            if let Some(progress) = self.wanted.progress {
                progress(so_far);
            }
        }
        self.check_end(bytes.len() as u64)?;
        Ok(bytes.freeze())
    }

    /// As much as is worth reading of what is not used.
    pub(super) async fn discarded(&self, mut body: Body) -> Bytes {
        let mut read = 0;
        while let Ok(Some(piece)) = self.piece(&mut body).await {
            read += piece.len();
            if read > DISCARDED {
                break;
            }
        }
        Bytes::new()
    }

    async fn piece(&self, body: &mut Body) -> Result<Option<Bytes>, OciError> {
        let registry = || self.registry.to_owned();
        loop {
            let next = tokio::time::timeout(self.idle, body.frame()).await;
            let next = next.map_err(|_| OciError::TooSlow {
                registry: registry(),
                what: "go on",
                seconds: self.idle.as_secs(),
            })?;
            match next {
                None => return Ok(None),
                Some(Err(_)) => {
                    return Err(OciError::Unreachable {
                        registry: registry(),
                        why: "the connection broke in the middle of an answer".to_owned(),
                    });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn check(&self, size: u64) -> Result<(), OciError> {
        let what = || self.wanted.what.to_owned();
        match self.wanted.said {
            Some(said) if size > said => Err(OciError::WrongSize { what: what(), found: size, said }),
            None if size > self.wanted.most => {
                Err(OciError::TooLarge { what: what(), size, most: self.wanted.most })
            }
            _ => Ok(()),
        }
    }

    fn check_end(&self, size: u64) -> Result<(), OciError> {
        match self.wanted.said {
            Some(said) if size != said => {
                Err(OciError::WrongSize { what: self.wanted.what.to_owned(), found: size, said })
            }
            _ => Ok(()),
        }
    }
}

/// What is made room for before anything has come.
const FIRST_ROOM: u64 = 1 << 20;
const DISCARDED: usize = 64 << 10;
