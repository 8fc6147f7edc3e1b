//! How well a path answers: missing answers, and round trips that grew. Both are told only while a path is probed often,
//! which is while something is transferred.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a probe counts, and how many do.
const SPAN: Duration = Duration::from_secs(30);
const KEPT: usize = 128;
/// Fewer probes say nothing about loss.
const FEW: u32 = 20;
/// A probe is lost without an answer in such a time, or in four usual round trips if that is more.
const LATE: Duration = Duration::from_secs(1);
/// A path is poor if more than this part of its probes is lost,
const LOSS_MAX: f64 = 0.1;
/// or if its round trip is more than so many times the usual one, and longer by more than this.
const SLOWER: u32 = 2;
const SLOWER_BY: Duration = Duration::from_millis(30);
/// It has to be poor for so long.
const POOR_FOR: Duration = Duration::from_secs(10);
/// Pauses between searches for a better path because of this, by how many there were. A good hour begins them anew.
const SEARCHES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];
const FORGIVEN: Duration = Duration::from_secs(3600);
/// Up to such a part of a pause is added by chance.
const SPREAD: f64 = 1.0 / 8.0;

#[derive(Debug, Default)]
pub(super) struct Quality {
    /// Number, time, and whether it was answered.
    probes: VecDeque<(u32, Instant, bool)>,
    /// The shortest round trip so far.
    usual: Option<Duration>,
    /// The round trip of late.
    recent: Option<Duration>,
    poor_since: Option<Instant>,
}

impl Quality {
    pub(super) fn asked(&mut self, now: Instant, number: u32) {
        self.probes.push_back((number, now, false));
        while self.probes.len() > KEPT || self.probes.front().is_some_and(|(_, at, _)| now > *at + SPAN) {
            self.probes.pop_front();
        }
        self.judge(now);
    }

    pub(super) fn answered(&mut self, now: Instant, number: u32, rtt: Duration) {
        if let Some(probe) = self.probes.iter_mut().find(|(asked, ..)| *asked == number) {
            probe.2 = true;
        }
        self.usual = Some(self.usual.map_or(rtt, |usual| usual.min(rtt)));
        self.recent = Some(self.recent.map_or(rtt, |recent| (recent * 7 + rtt) / 8));
        self.judge(now);
    }

    /// The part of the probes without an answer, in 0..=1; `None` while too few were sent.
    pub(super) fn loss(&self, now: Instant) -> Option<f64> {
        let late = LATE.max(self.usual.unwrap_or_default() * 4);
        let judged = self
            .probes
            .iter()
            .filter(|(_, at, answered)| now <= *at + SPAN && (*answered || now >= *at + late));
        let (mut all, mut lost) = (0_u32, 0_u32);
        for (.., answered) in judged {
            all += 1;
            lost += u32::from(!*answered);
        }
        (all >= FEW).then(|| f64::from(lost) / f64::from(all))
    }

    fn is_slow(&self) -> bool {
        let times = self.usual.zip(self.recent);
        times.is_some_and(|(usual, recent)| recent > usual * SLOWER && recent > usual + SLOWER_BY)
    }

    fn judge(&mut self, now: Instant) {
        let poor = self.is_slow() || self.loss(now).is_some_and(|loss| loss > LOSS_MAX);
        self.poor_since = poor.then(|| self.poor_since.unwrap_or(now));
    }

    /// Whether it has been poor for long enough to look for a better path.
    pub(super) fn is_poor(&self, now: Instant) -> bool {
        self.poor_since.is_some_and(|since| now >= since + POOR_FOR)
    }

    /// A better path is looked for: what is usual is measured anew.
    pub(super) fn accept(&mut self) {
        *self = Self { usual: self.recent, recent: self.recent, ..Self::default() };
    }
}

/// When a better path is looked for because the one in use is poor.
#[derive(Debug, Default)]
pub(super) struct Searches {
    count: usize,
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Searches {
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// `jitter` is in 0..1.
    pub(super) fn begin(&mut self, now: Instant, jitter: f64) {
        if self.last.is_some_and(|last| now >= last + FORGIVEN) {
            self.count = 0;
        }
        let pause = SEARCHES[self.count.min(SEARCHES.len() - 1)];
        self.count += 1;
        self.last = Some(now);
        self.next = Some(now + pause.mul_f64(1.0 + SPREAD * jitter.clamp(0.0, 1.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Probes each 250 ms for so many seconds; `answer` says the round trip of each, if it is answered. When it was first
    /// poor, in seconds.
    fn poor_after(seconds: u32, answer: impl Fn(u32) -> Option<Duration>) -> (Option<u64>, Option<f64>) {
        let (start, mut quality) = (start(), Quality::default());
        let mut poor = None;
        for number in 0..seconds * 4 {
            let now = start + ms(250) * number;
            quality.asked(now, number);
            if let Some(rtt) = answer(number) {
                quality.answered(now + rtt, number, rtt);
            }
            if quality.is_poor(now) {
                poor = poor.or(Some(now.duration_since(start).as_secs()));
            }
        }
        (poor, quality.loss(start + Duration::from_secs(seconds.into())))
    }

    #[test]
    fn path_that_loses_much_is_poor_after_10_s() {
        let every = |n: u32| move |number: u32| (!number.is_multiple_of(n)).then_some(ms(40));
        assert_eq!(poor_after(120, every(20)).0, None, "5 %");
        let (poor, loss) = poor_after(120, every(5));
        assert!(poor.is_some_and(|at| (14..=18).contains(&at)), "{poor:?}");
        assert!(loss.is_some_and(|loss| (0.18..0.22).contains(&loss)), "{loss:?}");
    }

    #[test]
    fn path_that_becomes_slow_is_poor_after_10_s() {
        let rises = |to: u64| move |number: u32| Some(ms(if number < 80 { 40 } else { to }));
        assert_eq!(poor_after(120, rises(75)).0, None);
        let (poor, _) = poor_after(120, rises(200));
        assert!(poor.is_some_and(|at| (30..=32).contains(&at)), "{poor:?}");
        let spike = |number: u32| Some(ms(if (80..110).contains(&number) { 200 } else { 40 }));
        assert_eq!(poor_after(120, spike).0, None, "7.5 s are too short");
        let near = |number: u32| Some(ms(if number < 80 { 1 } else { 9 }));
        assert_eq!(poor_after(120, near).0, None, "a few milliseconds are no reason");
    }

    #[test]
    fn few_probes_say_nothing() {
        let (start, mut quality) = (start(), Quality::default());
        for number in 0..100 {
            quality.asked(start + Duration::from_secs(20) * number, number);
        }
        let end = start + Duration::from_secs(2000);
        assert_eq!((quality.loss(end), quality.is_poor(end)), (None, false));
    }

    #[test]
    fn searches_become_rare() {
        let (start, mut searches) = (start(), Searches::default());
        let mut begun = Vec::new();
        for second in 0..3000 {
            let now = start + Duration::from_secs(second);
            if searches.may_begin(now) {
                searches.begin(now, 0.0);
                begun.push(second);
            }
        }
        assert_eq!(begun, [0, 60, 360, 1260, 2160]);
    }
}
