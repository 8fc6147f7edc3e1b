//! Whom may fetch what: one pure function. Consent (contacts, blocks, "ask me") goes here when it comes.

/// What is known of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
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

/// For now every peer that the phone book led here may have what is published, and never anything else: the rest of the
/// cache is other players' looks.
pub fn share_rule(asker: Asker, asked: Asked) -> Verdict {
    let published = match asked {
        Asked::Appearance => true,
        Asked::Blob { published } => published,
    };
    if asker.greeted && !asker.banned && published { Verdict::Share } else { Verdict::Refuse }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Asked::*;
        for greeted in [false, true] {
            for banned in [false, true] {
                for (asked, published) in
                    [(Appearance, true), (Blob { published: true }, true), (Blob { published: false }, false)]
                {
                    let expected =
                        if greeted && !banned && published { Verdict::Share } else { Verdict::Refuse };
                    assert_eq!(share_rule(Asker { greeted, banned }, asked), expected);
                }
            }
        }
    }
}
