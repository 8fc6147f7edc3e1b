//! Settings from all sources, and the sentences about mistakes.

use super::{wanted::wanted, *};
use crate::limits::Rate;
use std::path::Path;

fn from_file(text: &str) -> Result<Config, String> {
    let mut layers = Layers::default();
    layers.toml(Path::new("pb.toml"), text).map_err(|error| error.to_string())?;
    layers.finish().map_err(|error| error.to_string())
}

#[test]
fn every_key_can_be_set() {
    let config = from_file(
        "listen = '127.0.0.1:8080'\nttl = 10\ncompat = true\npassword = 'x'\npin = 0\nsweep = 5\n\
         trusted_proxies = ['127.0.0.1', '10.0.0.0/8']\nmax_records = 7\ndebug_players = true\nworkers = 3\n\
         max_connections = 9\nmax_connections_per_address = 5\nmax_sockets_per_address = 6\n\
         max_names_per_address = 7\nlimit_register = 'off'\nlimit_lookup = '7/s burst 8'\nlimit_introduce = 'off'\n\
         limit_socket = 'off'\nlimit_other = 'off'\nlimit_datagram = 'off'\nlimit_register_key = '1/5s burst 10'\nlimit_introduce_key = 'off'\n\
         operator = '127.0.0.1:9'\noperator_anywhere = true\naudit = '/a'\naudit_size = 70000\n\
         audit_addresses = 'full'\ntls_cert = 'c'\ntls_key = 'k'\nplain_http = true\n\
         max_sockets = 4\nnames = ['Book.example', '192.0.2.7:3000']\n\
         udp_listen = '[::]:8080'\nudp_address = 'UDP.example:8080'\nstun = 'off'\nrelay = 'off'\nrelay_rate = 1\n\
         relay_rate_per_address = 'off'\nrelay_rate_total = 3\nmax_relay_sessions = 4",
    )
    .unwrap();
    let expected = Config {
        listen: "127.0.0.1:8080".parse().unwrap(),
        ttl: Duration::from_secs(10),
        compat: true,
        password: Some(Password::new("x")),
        trusted_proxies: vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
        pin: Duration::ZERO,
        sweep: Some(Duration::from_secs(5)),
        max_records: 7,
        debug_players: true,
        workers: 3,
        max_connections: 9,
        limits: Rates { lookup: Rate::new(7, 1, 8), register_key: Rate::new(1, 5, 10), ..Rates::OFF },
        operator: Operator::At("127.0.0.1:9".parse().unwrap()),
        operator_anywhere: true,
        audit: Some(AuditFile { path: "/a".into(), size: 70_000, full_addresses: true }),
        tls: Some(TlsFiles { cert: "c".into(), key: "k".into() }),
        plain_http: true,
        max_sockets: 4,
        max_connections_per_address: Some(5),
        max_sockets_per_address: Some(6),
        max_names_per_address: Some(7),
        names: vec!["book.example".to_owned(), "192.0.2.7:3000".to_owned()],
        udp_listen: Some("[::]:8080".parse().unwrap()),
        udp_address: Some("udp.example:8080".to_owned()),
        stun: false,
        relay: false,
        relay_rate: Some(1),
        relay_rate_per_address: None,
        relay_rate_total: Some(3),
        max_relay_sessions: 4,
        redis: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn a_redis_is_set_with_its_secret_and_never_shown() {
    let set = "redis = 'redis://:hunter2@127.0.0.1:7'\nredis_secret = '0123456789abcdef'";
    let place: Place = "redis://:hunter2@127.0.0.1:7".parse().unwrap();
    assert_eq!(from_file(set).unwrap().redis, Some(place.with_secret("0123456789abcdef")));
    assert_eq!(from_file("redis = 'off'").unwrap().redis, None);
    for bad in ["redis = 'http://hunter2@h'", "redis_secret = 'hunter2'", &format!("{set}\ncompat = true")] {
        let told = from_file(bad).unwrap_err();
        assert!(!told.contains("hunter2") && told.contains("redis"), "{told}");
    }
}

#[test]
fn flags_override_environment_overrides_file() {
    let mut layers = Layers::default();
    layers.toml(Path::new("pb.toml"), "ttl = 1\npin = 1\nworkers = 1").unwrap();
    let variables = [("FYTECLUB_PHONEBOOK_TTL", "2"), ("FYTECLUB_PHONEBOOK_PIN", "2"), ("TTL", "nine")];
    layers.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    layers.flag("ttl", "3").unwrap();
    let config = layers.finish().unwrap();
    assert_eq!((config.ttl.as_secs(), config.pin.as_secs(), config.workers), (3, 2, 1));
}

#[test]
fn the_sweep_follows_a_short_ttl() {
    assert_eq!(from_file("ttl = 5").unwrap().sweep_interval(), Duration::from_secs(5));
    assert_eq!(from_file("ttl = 500").unwrap().sweep_interval(), Duration::from_secs(60));
}

#[test]
fn wrong_setting_is_named_with_value_and_advice() {
    for (text, told) in [
        (
            "ttl = 'abc'",
            "`ttl` in pb.toml is `abc`; write a number of seconds from 1 to 31536000, such as 3600",
        ),
        ("ttl = 0", "`ttl` in pb.toml is `0`; write a number of seconds from 1 to 31536000, such as 3600"),
        (
            "limit_lookup = '5'",
            "`limit_lookup` in pb.toml is `5`; write a rate, such as 100/s burst 1000 or 1/5s burst 10, or off",
        ),
        ("compat = 'perhaps'", "`compat` in pb.toml is `perhaps`; write true or false"),
        (
            "password = ''",
            "`password` in pb.toml is empty; write some characters, or leave it out for no password",
        ),
        (
            "trusted_proxies = ['10.0.0.0/99']",
            "`trusted_proxies` in pb.toml is `10.0.0.0/99`; write addresses or networks separated by commas, such as \
             127.0.0.1, 10.0.0.0/8",
        ),
    ] {
        assert_eq!(from_file(text).unwrap_err(), told);
    }
    assert!(
        from_file("tll = 5")
            .unwrap_err()
            .contains("a key `tll` that does not exist; the keys are listen, ttl")
    );
    assert!(from_file("compat = true\nttl =").unwrap_err().starts_with("pb.toml is not TOML at line 2: "));
    for (text, told) in [
        (
            "ttl = 5\nlisten = here",
            "; as `listen` write an address and a port, such as 127.0.0.1:3000 or [::]:3000,",
        ),
        ("names = [\n  book.example,\n]", "; as `names` write hosts separated by commas, with a port"),
        ("stun = off", "; as `stun` write true or false, text in quotation marks"),
    ] {
        let said = from_file(text).unwrap_err();
        assert!(said.contains(told) && said.lines().count() == 1, "{said}");
    }
    let twice = from_file("ttl = 5\nttl = 6").unwrap_err();
    assert!(twice.starts_with("pb.toml is not TOML at line 2: ") && !twice.contains("write"), "{twice}");
    assert!(from_file("udp_listen = '[::]:3478'").unwrap_err().contains("set `udp_address`"));
    assert!(from_file("tls_cert = 'x'").unwrap_err().contains("belong together"));
    assert!(from_file("debug_players = true").unwrap_err().contains("only in compatibility mode"));
}

#[test]
fn every_key_refuses_nonsense_with_its_remedy() {
    for key in KEYS {
        // Any text is a password or a path.
        let value =
            if ["password", "audit", "tls_cert", "tls_key"].contains(&key) { "" } else { "no/such value" };
        let shown = match key {
            _ if value.is_empty() => "empty",
            _ if key.starts_with("redis") => "`…`",
            _ => "`no/such value`",
        };
        let told = Layers::default().flag(key, value).unwrap_err().to_string();
        assert_eq!(told, format!("`{key}` in the command line is {shown}; write {}", wanted(key)));
    }
}

#[test]
fn an_error_names_its_source() {
    let missing = Path::new("/nonexistent/pb.toml");
    let told = Layers::default().file(missing).unwrap_err().to_string();
    assert!(told.contains("cannot be read: /nonexistent/pb.toml is not there"), "{told}");
    let mut layers = Layers::default();
    let told = layers.environment([("FYTECLUB_PHONEBOOK_TTL".to_owned(), "x".to_owned())]).unwrap_err();
    assert!(told.to_string().starts_with("`ttl` in the environment is `x`; write "), "{told}");
    let told = layers.flag("tll", "1").unwrap_err().to_string();
    assert!(told.starts_with("the command line has a key `tll` that does not exist"), "{told}");
    layers.environment([("FYTECLUB_PHONEBOOK_TLL".to_owned(), "1".to_owned())]).unwrap();
    assert_eq!(layers.finish().unwrap(), Config::default());
}

#[test]
fn off_removes_the_value_of_a_lower_layer() {
    let mut layers = Layers::of_a_program();
    let set =
        "audit = 'a'\ntls_cert = 'c'\ntls_key = 'k'\nredis = 'redis://127.0.0.1:7'\nlimit_lookup = '1/s'";
    layers.toml(Path::new("pb.toml"), set).unwrap();
    for key in ["audit", "tls_cert", "tls_key", "redis", "limit_lookup", "operator"] {
        layers.flag(key, "OFF").unwrap();
    }
    let config = layers.finish().unwrap();
    assert_eq!((config.audit, config.tls, config.redis), (None, None, None));
    assert_eq!((config.limits.lookup, config.operator), (None, Operator::Off));
    assert_eq!(Layers::of_a_program().finish().unwrap().operator, Operator::IfFree(OPERATOR));
}

#[test]
fn a_redis_and_compatibility_mode_exclude_each_other() {
    let told = from_file("redis = 'redis://127.0.0.1:7'\ncompat = true").unwrap_err();
    assert!(told.contains("no use in compatibility mode"), "{told}");
}
