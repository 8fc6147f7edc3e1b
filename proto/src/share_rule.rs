//! Whom may fetch what: one pure function. Who is a contact is said by [`crate::contact`], what a grant is worth by
//! [`crate::grant`].

/// What is known of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// This side consents to the key: [`crate::contact::Contacts::consents`].
    pub contact: bool,
    /// The TLS handshake proved the key and the greeting was accepted.
    pub greeted: bool,
    /// Broke the protocol lately.
    pub banned: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The appearance that is published now, or a grant for it.
    Appearance,
    /// A blob of the own look, or a proof of it; whether the published look names it, by hash and size.
    Blob { published: bool },
    /// What this side holds of somebody else's look.
    Holding(Lent),
    /// A blob of somebody else's look, and whether a grant of its owner names the asker, this look, and a time that is
    /// not over.
    LentBlob { lent: Lent, blob: LentBlob, granted: bool },
}

/// What this side may pass on of somebody else's look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lent {
    /// This side consents to the owner's key as well.
    pub owner: bool,
    /// The look was fetched from its owner, under a grant to this side that is not over.
    pub held: bool,
}

/// What is known of a blob that somebody else's look names. To be named gives no right to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LentBlob {
    /// The look names its hash.
    pub named: bool,
    /// What is here is of the size that the look says.
    pub fits: bool,
    /// It lies in the cache and came from this very owner: [`crate::blob::Origin::Owner`]. Never a file of the player's
    /// own, and never what came from another.
    pub came: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Share,
    /// The asker is told the same as if there were nothing.
    Refuse,
}

/// A contact may have what is published, and what another contact gave this side and lets both have. Nobody else may have
/// anything, and the rest of the cache, and of the disk, is nobody's.
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
