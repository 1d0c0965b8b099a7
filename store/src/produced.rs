//! Rows on their way from who makes them to who reads them: a bounded channel that tells a whole
//! stream from one that broke off.

use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel as bounded};

use crate::StoreError;

/// Pieces that wait for a slow reader.
const QUEUE: usize = 2;

enum Piece<T> {
    Item(T),
    End(Result<(), StoreError>),
}

/// Where a producer puts its pieces.
pub(crate) struct Outlet<T> {
    sender: Sender<Piece<T>>,
    /// Room for the last word, however full the channel is.
    last: Option<OwnedPermit<Piece<T>>>,
}

/// A producer's end and a reader's.
pub(crate) fn channel<T: Send + 'static>() -> (
    Outlet<T>,
    impl Stream<Item = Result<T, StoreError>> + Send + use<T>,
) {
    let (sender, receiver) = bounded(QUEUE + 1);
    let last = sender.clone().try_reserve_owned().ok();
    (Outlet { sender, last }, read(receiver))
}

impl<T> Outlet<T> {
    /// Waits for room and puts in a piece.
    pub async fn send(&self, item: T) {
        // A reader that has gone shows in `closed`.
        let _ = self.sender.send(Piece::Item(item)).await;
    }

    /// As [`Outlet::send`] on a blocking thread. False when the reader has gone.
    pub fn blocking_send(&self, item: T) -> bool {
        self.sender.blocking_send(Piece::Item(item)).is_ok()
    }

    /// Waits until the reader has gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Has the reader gone?
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Says that this is all, or why there is no more. Never waits.
    pub fn end(mut self, how: Result<(), StoreError>) {
        if let Some(permit) = self.last.take() {
            permit.send(Piece::End(how));
        }
    }
}

/// The pieces. A producer that goes without its last word has failed.
fn read<T: Send + 'static>(
    receiver: Receiver<Piece<T>>,
) -> impl Stream<Item = Result<T, StoreError>> + Send {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Item(item)) => Some((Ok(item), Some(receiver))),
            Some(Piece::End(Ok(()))) => None,
            Some(Piece::End(Err(error))) => Some((Err(error), None)),
            None => {
                let error = StoreError::Internal("reading ended early".into());
                Some((Err(error), None))
            }
        }
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_end_is_told_from_a_break() {
        let broken = || Some(Err(StoreError::InvalidCursor));
        for (ending, expected) in [
            (Some(Ok(())), None),
            (broken(), Some("invalid_cursor")),
            (None, Some("internal")),
        ] {
            let (outlet, items) = channel();
            for item in 0..QUEUE {
                outlet.send(item).await;
            }
            // The channel is full, and the last word still has room.
            match ending {
                Some(ending) => outlet.end(ending),
                None => drop(outlet),
            }
            let items: Vec<_> = items.collect().await;
            let (whole, broken): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_ok);
            assert_eq!(whole.len(), QUEUE);
            let code = broken.first().map(|e| e.as_ref().unwrap_err().code());
            assert_eq!(
                (code, broken.len()),
                (expected, usize::from(expected.is_some()))
            );
        }
    }
}
