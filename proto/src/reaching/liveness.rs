//! Whether the other end of a link still answers, while a request runs.
//!
//! QUIC's keep-alives are made for idle links, and give up late. While a request runs, a silent link is sent a question
//! whose answer does not matter. Without one the peer is silent: it is dialled beside the link (it may have restarted at
//! another address), its requests move to others, and at last the link is closed. A slow link answers the question, and
//! stays. Received datagrams are counted each [`LOOK`], so [`Output::Silent`] comes at most [`SILENT_AFTER`] and one
//! [`LOOK`] after the last of them: 1.7 s, later only where four round trips after the question are longer.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How often datagrams are counted while a request runs.
pub const LOOK: Duration = Duration::from_millis(100);
/// How long nothing may arrive before the question. A source under the lowest limit is silent for longer.
pub const PROBE_AFTER: Duration = Duration::from_millis(600);
/// When the peer counts as silent: the question has had time for several repetitions.
pub const SILENT_AFTER: Duration = Duration::from_millis(1600);
/// Round trips that an answer may take, with repetitions of the question, where that is longer.
const PATIENCE: u32 = 4;
/// When the link is closed, at the earliest.
pub const DEAD_AFTER: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Datagrams received so far, the path's round trip, and whether a request runs now.
    Received { datagrams: u64, rtt: Duration, asking: bool },
    /// Another link is in use now.
    Fresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send the question, and try other paths.
    Probe,
    /// The peer does not answer: dial beside the link, ask others.
    Silent,
    /// It does again. After each [`Output::Silent`], unless the link is closed or replaced.
    Heard,
    /// Close it.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Report the received datagrams.
    Listen,
}

/// The steps of a silence.
const STEPS: [Output; 3] = [Output::Probe, Output::Silent, Output::Dead];

#[derive(Debug)]
pub struct Liveness {
    heard: u64,
    /// The time of the last datagram, or of the first request after an idle time.
    since: Instant,
    looked: Instant,
    asking: bool,
    rtt: Duration,
    /// The number of [`STEPS`] done in this silence.
    taken: usize,
    outputs: VecDeque<Output>,
}

impl Liveness {
    pub fn new(now: Instant) -> Self {
        Self {
            heard: 0,
            since: now,
            looked: now,
            asking: false,
            rtt: Duration::ZERO,
            taken: 0,
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Fresh => *self = Self::new(now),
            Input::Received { datagrams, rtt, asking } => {
                let is_heard = datagrams != self.heard;
                if is_heard && self.is_silent() {
                    self.outputs.push_back(Output::Heard);
                }
                // The question to a silent peer is a request, too.
                let asking = asking || (self.is_silent() && !is_heard);
                let began = asking && !self.asking;
                (self.asking, self.rtt, self.looked) = (asking, rtt, now);
                if is_heard || began {
                    (self.heard, self.since, self.taken) = (datagrams, now, 0);
                }
                while let Some((_, output)) = self.next().filter(|(at, _)| now >= *at) {
                    self.taken += 1;
                    self.outputs.push_back(output);
                }
            }
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let (at, _) = self.next()?;
        Some((at.min(self.looked + LOOK), Why::Listen))
    }

    /// The next step of the silence, unless something arrives.
    fn next(&self) -> Option<(Instant, Output)> {
        let output = *STEPS.get(self.taken).filter(|_| self.asking)?;
        let silent_after = SILENT_AFTER.max(PROBE_AFTER + self.rtt * PATIENCE);
        let after = match output {
            Output::Probe => PROBE_AFTER,
            Output::Dead => DEAD_AFTER.max(silent_after * 2),
            Output::Silent | Output::Heard => silent_after,
        };
        Some((self.since + after, output))
    }

    fn is_silent(&self) -> bool {
        self.taken >= 2
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

    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Runs it on a link with datagrams at these milliseconds, until nothing is due or 20 s are over. Questions of the
    /// first `mute` ms are not answered, later ones after a round trip.
    fn outputs(came: &[u64], rtt: u64, mute: u64) -> Vec<(u64, Output)> {
        let start = start();
        let (mut liveness, mut now) = (Liveness::new(start), start);
        let (mut came, mut all) = (came.to_vec(), Vec::new());
        loop {
            let ms = crate::number::millis(now.duration_since(start));
            let datagrams = crate::number::u64_of(came.iter().filter(|at| **at <= ms).count());
            let rtt = Duration::from_millis(rtt);
            liveness.handle(now, Input::Received { datagrams, rtt, asking: true });
            while let Some(output) = liveness.poll() {
                if output == Output::Probe && ms >= mute {
                    came.push(ms + crate::number::millis(rtt));
                }
                all.push((ms, output));
            }
            match liveness.deadline() {
                Some((at, Why::Listen)) if at < start + Duration::from_secs(20) => now = at.max(now),
                _ => return all,
            }
        }
    }

    const NEVER: u64 = u64::MAX;

    #[test]
    fn silent_peer_is_asked_noticed_and_closed() {
        assert_eq!(
            outputs(&[], 30, NEVER),
            [(600, Output::Probe), (1600, Output::Silent), (6000, Output::Dead)]
        );
    }

    #[test]
    fn silence_is_noticed_within_two_seconds() {
        // Whenever the last datagram comes, while others come all the time.
        for last in (1000..2000).step_by(7) {
            let came: Vec<u64> = (0..=last / 40).map(|n| n * 40).chain([last]).collect();
            for rtt in [1, 40, 150, 250] {
                let outputs = outputs(&came, rtt, NEVER);
                let silent = outputs.iter().find(|(_, output)| *output == Output::Silent).map(|(at, _)| *at);
                let took = silent.expect("noticed") - last;
                assert!((1500..=1700).contains(&took), "{took} ms after {last}, round trip {rtt}");
            }
        }
    }

    #[test]
    fn who_is_only_slow_or_far_is_left_alone() {
        for rtt in [10, 300, 900, 1500] {
            let slow = outputs(&[3000, 9000], rtt, 0);
            let left = slow.iter().all(|(_, output)| *output == Output::Probe);
            assert!(!slow.is_empty() && left, "round trip {rtt}: {slow:?}");
        }
    }

    #[test]
    fn peer_that_answers_again_is_told_and_kept() {
        let outputs = outputs(&[4000], 30, 4000);
        let [asked, silent, heard, rest @ ..] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((*asked, *silent), ((600, Output::Probe), (1600, Output::Silent)));
        assert!(heard.1 == Output::Heard && (4000..=4100).contains(&heard.0), "{heard:?}");
        assert!(!rest.is_empty() && rest.iter().all(|(_, output)| *output == Output::Probe), "{rest:?}");
    }

    #[test]
    fn idle_link_is_not_watched_until_the_next_request() {
        let (start, rtt) = (start(), Duration::from_millis(20));
        let mut liveness = Liveness::new(start);
        let received = |asking| Input::Received { datagrams: 5, rtt, asking };
        liveness.handle(start, received(false));
        assert_eq!(liveness.deadline(), None);
        let later = start + Duration::from_secs(100);
        liveness.handle(later, received(false));
        liveness.handle(later, received(true));
        assert_eq!((liveness.poll(), liveness.deadline()), (None, Some((later + LOOK, Why::Listen))));
        liveness.handle(later + SILENT_AFTER, received(true));
        assert_eq!((liveness.poll(), liveness.poll()), (Some(Output::Probe), Some(Output::Silent)));
        // The request is given up: whether the peer is there is still a question.
        liveness.handle(later + SILENT_AFTER, received(false));
        assert!(liveness.deadline().is_some());
        liveness.handle(later + DEAD_AFTER, received(false));
        assert_eq!(liveness.poll(), Some(Output::Dead));
        liveness.handle(later + DEAD_AFTER, Input::Fresh);
        assert_eq!(liveness.deadline(), None, "each link is watched anew");
    }
}
