//! Which of a peer's addresses may be probed when its offer comes over the link: the rules for letters, without a phone
//! book that has just seen both ends.

use fyteclub_proto::{
    limit::CANDIDATES_MAX,
    reaching::{
        candidate::{Candidate, Origin, Teller, Vantage, are_together, may_be_dialled},
        wire::offer::Offer,
    },
};
use std::net::{IpAddr, SocketAddr};

/// What the last introduction showed, and the addresses of the running round.
#[derive(Debug, Default)]
pub(super) struct Admission {
    vantage: Vantage,
    round: u32,
    /// Charged for this round.
    charged: Vec<SocketAddr>,
}

fn canonical(candidate: &Candidate) -> SocketAddr {
    SocketAddr::new(candidate.addr.ip().to_canonical(), candidate.addr.port())
}

impl Admission {
    /// An offer came in a letter, whose addresses were judged and charged.
    pub(super) fn introduced(&mut self, vantage: Vantage, offer: &Offer) {
        self.vantage = vantage;
        self.enter(offer.round);
        for addr in offer.candidates.0.iter().map(canonical) {
            if !self.charged.contains(&addr) {
                self.charged.push(addr);
            }
        }
    }

    /// This machine is in another network: private addresses are another's there.
    pub(super) fn moved(&mut self) {
        self.vantage.together = false;
    }

    fn enter(&mut self, round: u32) {
        if round > self.round {
            self.round = round;
            self.charged.clear();
        }
    }

    /// Leaves the addresses in the offer that may be probed: at most [`CANDIDATES_MAX`] in a round, each charged once in
    /// it. Private ones only of a peer that the phone book saw in this network, and that says it still is.
    pub(super) fn judge(&mut self, offer: &mut Offer, affords: impl Fn() -> bool) {
        self.enter(offer.round);
        let is_here = |here: IpAddr| {
            let observed = offer.candidates.0.iter().filter(|told| told.origin == Origin::Observed);
            observed.clone().any(|told| are_together(told.addr.ip().to_canonical(), here))
        };
        let together = self.vantage.together && self.vantage.here.is_some_and(is_here);
        let vantage = Vantage { together, ..self.vantage };
        let charged = &mut self.charged;
        offer.candidates.0.retain(|told| {
            let addr = canonical(told);
            if !may_be_dialled(addr, Teller::Contact, &vantage) {
                return false;
            }
            if charged.contains(&addr) {
                return true;
            }
            let fits = charged.len() < CANDIDATES_MAX && affords();
            if fits {
                charged.push(addr);
            }
            fits
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::reaching::candidate::Candidates;
    use std::cell::Cell;

    fn told(origin: Origin, addr: &str) -> Candidate {
        Candidate { origin, addr: addr.parse().expect("an address") }
    }

    fn offer(round: u32, all: &[Candidate]) -> Offer {
        Offer { round, candidates: Candidates(all.to_vec()), ..Offer::default() }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    /// Both ends were behind one router when they were introduced.
    fn neighbours() -> Admission {
        let vantage = Vantage { book: ip("198.51.100.1"), here: ip("203.0.113.7"), together: true };
        let mut admission = Admission::default();
        admission.introduced(vantage, &offer(0, &[]));
        admission
    }

    fn left(admission: &mut Admission, all: &[Candidate]) -> Vec<String> {
        let mut offer = offer(1, all);
        admission.judge(&mut offer, || true);
        offer.candidates.addrs().map(|addr| addr.to_string()).collect()
    }

    const HOME: &str = "192.168.1.5:7777";

    #[test]
    fn private_address_needs_one_network_on_both_ends() {
        let home = told(Origin::Host, HOME);
        let here = told(Origin::Observed, "203.0.113.7:40000");
        let elsewhere = told(Origin::Observed, "203.0.113.8:40000");
        assert_eq!(left(&mut neighbours(), &[here, home]), ["203.0.113.7:40000", HOME]);
        assert_eq!(left(&mut neighbours(), &[elsewhere, home]), ["203.0.113.8:40000"]);
        assert_eq!(left(&mut neighbours(), &[home]), [""; 0]);
        let mut moved = neighbours();
        moved.moved();
        assert_eq!(left(&mut moved, &[here, home]), ["203.0.113.7:40000"]);
        let mut stranger = Admission::default();
        assert_eq!(left(&mut stranger, &[here, home]), ["203.0.113.7:40000"]);
    }

    #[test]
    fn eight_addresses_of_a_round_are_charged_once() {
        let charges = Cell::new(0);
        let affords = || {
            charges.set(charges.get() + 1);
            true
        };
        let all = |from: u8| -> Vec<Candidate> {
            (from..from + 6).map(|n| told(Origin::Host, &format!("203.0.113.{n}:7777"))).collect()
        };
        let mut admission = Admission::default();
        admission.introduced(Vantage::default(), &offer(0, &all(1)[..2]));
        for (round, from, kept, total) in
            [(0, 1, 6, 4), (0, 1, 6, 4), (0, 11, 2, 6), (0, 21, 0, 6), (1, 21, 6, 12), (0, 31, 2, 14)]
        {
            let mut offer = offer(round, &all(from));
            admission.judge(&mut offer, affords);
            assert_eq!((offer.candidates.0.len(), charges.get()), (kept, total), "{round} {from}");
        }
    }

    #[test]
    fn address_that_cannot_be_paid_is_not_probed() {
        let mut poor = offer(0, &[told(Origin::Host, "203.0.113.1:7777")]);
        Admission::default().judge(&mut poor, || false);
        assert!(poor.candidates.0.is_empty());
        let mut never = offer(0, &[told(Origin::Host, "203.0.113.1:53")]);
        Admission::default().judge(&mut never, || true);
        assert!(never.candidates.0.is_empty(), "a service's port");
    }
}
