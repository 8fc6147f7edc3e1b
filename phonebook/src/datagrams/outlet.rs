//! What waits to be sent over one WebSocket: bounded, and what does not fit is dropped.

use actix_http::ws::{OpCode, Parser};
use bytes::{Bytes, BytesMut};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// Bytes that may wait for one client: what a fast line carries while a round trip lasts.
const WAITING_MAX: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outlet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// WebSocket messages, whole.
    waiting: BytesMut,
    waker: Option<Waker>,
    is_stopping: bool,
}

/// What a WebSocket sends next.
#[derive(Debug)]
pub(crate) enum Next {
    Messages(Bytes),
    /// The phone book stops.
    Stop,
    /// Nothing; the waker is stored.
    Wait,
}

impl Outlet {
    /// Returns whether the frame fits.
    pub(super) fn push(&self, frame: &[u8]) -> bool {
        let mut state = self.lock();
        if state.waiting.len() + frame.len() > WAITING_MAX {
            return false;
        }
        Parser::write_message(&mut state.waiting, frame, OpCode::Binary, true, false);
        state.wake();
        true
    }

    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.wake();
    }

    pub(crate) fn next(&self, waker: &Waker) -> Next {
        let mut state = self.lock();
        if !state.waiting.is_empty() {
            return Next::Messages(std::mem::take(&mut state.waiting).freeze());
        }
        if state.is_stopping {
            return Next::Stop;
        }
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Next::Wait
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_is_bounded_and_empties() {
        let outlet = Outlet::default();
        let fits = (0..1000).take_while(|_| outlet.push(&[7; 1024])).count();
        assert!((200..=256).contains(&fits), "{fits}");
        let Next::Messages(messages) = outlet.next(Waker::noop()) else { panic!("nothing waits") };
        assert!(messages.len() <= WAITING_MAX + 1024 && messages[..4] == [0x82, 126, 4, 0]);
        assert!(matches!(outlet.next(Waker::noop()), Next::Wait) && outlet.push(&[7; 1024]));
        outlet.stop();
        assert!(matches!(outlet.next(Waker::noop()), Next::Messages(_)), "what waits is sent first");
        assert!(matches!(outlet.next(Waker::noop()), Next::Stop));
    }
}
