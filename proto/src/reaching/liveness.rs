//! Whether the other end of a link still answers, while a request runs.
//!
//! QUIC's keep-alives are made for idle links, and give up late. While a request runs, a silent link is sent a question
//! whose answer does not matter, then the peer is dialled beside it (it may have restarted at another address), and at
//! last the link is closed. A slow link answers the question, and stays.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long nothing may arrive before the question. A source under the lowest limit is silent for longer.
pub const PROBE_AFTER: Duration = Duration::from_secs(1);
/// When the peer is dialled beside the link: the question has had time for several repetitions, also over long
/// distances.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(2500);
/// When the link is closed.
pub const DEAD_AFTER: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Datagrams received so far, and whether a request runs now.
    Received { datagrams: u64, asking: bool },
    /// Another link is in use now.
    Fresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send the question.
    Probe,
    /// Dial beside the link.
    Suspect,
    /// Close it.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Report the received datagrams.
    Listen,
}

/// The next steps, and the silence before each.
const STEPS: [(Duration, Output); 3] =
    [(PROBE_AFTER, Output::Probe), (SUSPECT_AFTER, Output::Suspect), (DEAD_AFTER, Output::Dead)];

#[derive(Debug)]
pub struct Liveness {
    heard: u64,
    /// The time of the last datagram, or of the first request after an idle time.
    since: Instant,
    asking: bool,
    /// The number of [`STEPS`] done in this silence.
    taken: usize,
    outputs: VecDeque<Output>,
}

impl Liveness {
    pub fn new(now: Instant) -> Self {
        Self { heard: 0, since: now, asking: false, taken: 0, outputs: VecDeque::new() }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Fresh => *self = Self::new(now),
            Input::Received { datagrams, asking } => {
                let began = asking && !self.asking;
                self.asking = asking;
                if datagrams != self.heard || began {
                    (self.heard, self.since, self.taken) = (datagrams, now, 0);
                }
                while asking
                    && let Some((after, output)) = STEPS.get(self.taken)
                    && now >= self.since + *after
                {
                    self.taken += 1;
                    self.outputs.push_back(*output);
                }
            }
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let (after, _) = STEPS.get(self.taken).filter(|_| self.asking)?;
        Some((self.since + *after, Why::Listen))
    }

    /// Why nothing is awaited. `None`: there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        match self.taken {
            _ if !self.asking => Some("nothing is asked"),
            taken if taken == STEPS.len() => Some("the link was given up"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs it on a link with datagrams at these milliseconds, until nothing is due or 20 s are over; `answers`:
    /// whether the question is answered.
    fn outputs(came: &[u64], answers: bool) -> Vec<(u64, Output)> {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let (mut liveness, mut now, mut answered, mut all) = (Liveness::new(start), start, 0, Vec::new());
        loop {
            let ms = now.duration_since(start).as_millis() as u64;
            let datagrams = came.iter().filter(|at| **at <= ms).count() as u64 + answered;
            liveness.handle(now, Input::Received { datagrams, asking: true });
            while let Some(output) = liveness.poll() {
                answered += u64::from(answers && output == Output::Probe);
                all.push((ms, output));
            }
            match liveness.deadline() {
                Some((at, Why::Listen)) if at < start + Duration::from_secs(20) => now = at.max(now),
                _ => return all,
            }
        }
    }

    #[test]
    fn silent_peer_is_probed_then_dialled_then_closed() {
        assert_eq!(
            outputs(&[], false),
            [(1000, Output::Probe), (2500, Output::Suspect), (6000, Output::Dead)]
        );
        let after_life = outputs(&[100, 900], false);
        assert_eq!(
            after_life.last(),
            Some(&(7000, Output::Dead)),
            "counted from the last look at which it lived"
        );
        assert_eq!(after_life.len(), 3);
    }

    #[test]
    fn who_is_only_slow_is_asked_and_left_alone() {
        let slow = outputs(&[3000, 9000], true);
        assert!(!slow.is_empty() && slow.iter().all(|(_, output)| *output == Output::Probe), "{slow:?}");
    }

    #[test]
    fn idle_link_is_not_watched_until_the_next_request() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle(start, Input::Received { datagrams: 5, asking: false });
        assert_eq!(liveness.deadline(), None);
        let later = start + Duration::from_secs(100);
        liveness.handle(later, Input::Received { datagrams: 5, asking: false });
        liveness.handle(later, Input::Received { datagrams: 5, asking: true });
        assert_eq!((liveness.poll(), liveness.deadline()), (None, Some((later + PROBE_AFTER, Why::Listen))));
        liveness.handle(later + SUSPECT_AFTER, Input::Received { datagrams: 5, asking: true });
        assert_eq!((liveness.poll(), liveness.poll()), (Some(Output::Probe), Some(Output::Suspect)));
        liveness.handle(later + SUSPECT_AFTER, Input::Fresh);
        assert_eq!(liveness.deadline(), None, "each link is watched anew");
    }
}
