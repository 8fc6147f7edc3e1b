use super::*;

fn private() -> Private {
    let name = |text: &str| text.parse().expect("a name");
    Private {
        users: vec!["alice".to_owned()],
        players: vec![name("Ann O'Neil@Balmung"), name("Änne Ash-Berg@Zodiark")],
        keys: vec![PeerId::from_bytes([1; 32])],
    }
}

#[test]
fn keys_addresses_and_users_are_not_told() {
    let whole = PeerId::from_bytes([1; 32]);
    let short = whole.short();
    for (text, expected) in [
        (format!("{whole} is {short}, not x{short}"), format!("KEY1 is KEY1, not x{short}")),
        (
            "peer ed25519:AbCdEfGhIjKlMnOp_-12, peer=AbCdEfGh: x".to_owned(),
            "peer KEY2, peer=KEY2: x".to_owned(),
        ),
        ("peer=Zb-dEf_h then Zb-dEf_h".to_owned(), "peer=KEY2 then KEY2".to_owned()),
        ("\"peer\":\"AbCdEfGh\" PeerId(XbCdEfGh)".to_owned(), "\"peer\":\"KEY2\" PeerId(KEY3)".to_owned()),
    ] {
        assert_eq!(redacted(&text, &private()), expected);
    }
    for (text, expected) in [
        ("at 203.0.113.7:41234, then 192.168.1.20.", "at 203.0.x.x:41234, then 192.168.x.x."),
        ("[2a02:1:2::7]:41234 and fe80::1%eth0", "[2a02:1:x]:41234 and fe80:0:x%eth0"),
        ("[::ffff:203.0.113.7]:9", "[203.0.x.x]:9"),
        ("[::]:0 127.0.0.1:3000 [::1]:80 0.0.0.0", "[::]:0 127.0.0.1:3000 [::1]:80 0.0.0.0"),
        ("http://203.0.113.7:80/x", "http://203.0.x.x:80/x"),
        ("22:41:02.123 at 12:30", "22:41:02.123 at 12:30"),
        ("2026-11-30T22:41:02.123456Z  INFO", "2026-11-30T22:41:02.123456Z  INFO"),
        ("version 0.1.0, deadbeef: 5", "version 0.1.0, deadbeef: 5"),
        ("/home/bob/.local and /Users/carol/x", "/home/USER/.local and /Users/USER/x"),
        ("C:\\Users\\dan\\x C:\\\\Users\\\\dan", "C:\\Users\\USER\\x C:\\\\Users\\\\USER"),
        ("/srv/alice/data, alices, alice's", "/srv/USER/data, alices, USER's"),
    ] {
        assert_eq!(redacted(text, &private()), expected);
    }
}

#[test]
fn players_are_numbers() {
    for (text, expected) in [
        ("Ann O'Neil@Balmung meets \"Änne Ash-Berg@Zodiark\"", "PLAYER1 meets \"PLAYER2\""),
        ("mods/Ann/x of Ash-Berg, Annette", "mods/PLAYER1/x of PLAYER2, Annette"),
        ("by D'arc Élan@Odin — ok", "by PLAYER — ok"),
        ("is Bob Birch@Odin, of one@two, a @ b, x@", "is PLAYER, of PLAYER, a @ b, x@"),
    ] {
        assert_eq!(redacted(text, &private()), expected);
    }
}
