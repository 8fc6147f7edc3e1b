//! Who may fetch what: one pure function. [`crate::contact`] decides who is a contact, [`crate::grant`] whether a grant
//! is valid.

/// The asking peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// This side consents to the key: [`crate::contact::Contacts::consents`].
    pub contact: bool,
    /// The TLS handshake proved the key and the greeting was accepted.
    pub greeted: bool,
    /// Under a ban.
    pub banned: bool,
}

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The published document, or a grant for it.
    Appearance,
    /// A blob of the own look, or a proof of it; whether the published look names it, by hash and size.
    Blob { published: bool },
    /// A map of what this side holds of another's look.
    Holding(Lent),
    /// A blob of another's look, and whether a valid grant of its owner names the asker and this look.
    LentBlob { lent: Lent, blob: LentBlob, granted: bool },
}

/// Whether this side may lend another's look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lent {
    /// This side consents to the owner's key as well.
    pub owner: bool,
    /// The look was fetched from its owner, under a valid grant to this side.
    pub held: bool,
}

/// A blob that another's look names. Naming gives no right to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LentBlob {
    /// The look names its hash.
    pub named: bool,
    /// The stored blob has the look's size.
    pub fits: bool,
    /// It is in the cache and came from this owner: [`crate::blob::Origin::Owner`]. Never an own file, and never
    /// another owner's blob.
    pub came: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Share,
    /// The asker gets the answer for an absent blob.
    Refuse,
}

/// A contact may have the published look, and looks that another contact lets both have. Nobody else may have anything,
/// and no other cached blob is served.
pub fn share_rule(asker: Asker, asked: Asked) -> Verdict {
    let may_pass_on = |Lent { owner, held }: Lent| owner && held;
    let is_theirs = match asked {
        Asked::Appearance => true,
        Asked::Blob { published } => published,
        Asked::Holding(lent) => may_pass_on(lent),
        Asked::LentBlob { lent, blob: LentBlob { named, fits, came }, granted } => {
            may_pass_on(lent) && named && fits && came && granted
        }
    };
    let Asker { contact, greeted, banned } = asker;
    if contact && greeted && !banned && is_theirs { Verdict::Share } else { Verdict::Refuse }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Asked::{Appearance, Blob, Holding};
        let mut asked =
            vec![(Appearance, true), (Blob { published: true }, true), (Blob { published: false }, false)];
        for bits in 0..64 {
            let bit = |n| bits >> n & 1 == 1;
            let lent = Lent { owner: bit(0), held: bit(1) };
            let blob = LentBlob { named: bit(2), fits: bit(3), came: bit(4) };
            asked.push((Holding(lent), bits & 3 == 3));
            asked.push((Asked::LentBlob { lent, blob, granted: bit(5) }, bits == 63));
        }
        for bits in 0..8 {
            let asker = Asker { contact: bits & 1 > 0, greeted: bits & 2 > 0, banned: bits & 4 > 0 };
            for (asked, theirs) in &asked {
                let expected = if bits == 3 && *theirs { Verdict::Share } else { Verdict::Refuse };
                assert_eq!(share_rule(asker, *asked), expected, "{asker:?} {asked:?}");
            }
        }
    }
}
