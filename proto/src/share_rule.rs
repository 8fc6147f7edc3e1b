//! Whom may fetch what: one pure function. Who is a contact is said by [`crate::contact`].

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
    /// The appearance that is published now.
    Appearance,
    /// A blob; whether the published look names it.
    Blob { published: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Share,
    /// The asker is told the same as if there were nothing.
    Refuse,
}

/// A contact may have what is published, and never anything else: the rest of the cache is other players' looks. Nobody
/// else may have anything.
pub fn share_rule(asker: Asker, asked: Asked) -> Verdict {
    let published = match asked {
        Asked::Appearance => true,
        Asked::Blob { published } => published,
    };
    let Asker { contact, greeted, banned } = asker;
    if contact && greeted && !banned && published { Verdict::Share } else { Verdict::Refuse }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Asked::*;
        let asked =
            [(Appearance, true), (Blob { published: true }, true), (Blob { published: false }, false)];
        for bits in 0..8 {
            let asker = Asker { contact: bits & 1 > 0, greeted: bits & 2 > 0, banned: bits & 4 > 0 };
            for (asked, published) in asked {
                let expected = if bits == 3 && published { Verdict::Share } else { Verdict::Refuse };
                assert_eq!(share_rule(asker, asked), expected, "{asker:?} {asked:?}");
            }
        }
    }
}
