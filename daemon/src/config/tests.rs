use super::{check::LISTEN, *};

fn load(file: &str, env: &[(&str, &str)], flags: Raw) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).expect("written");
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let env = move |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let flags = Raw { data_dir: flags.data_dir.or(Some(Dir(dir.path().to_owned()))), ..flags };
    Config::load(flags, None, env)
}

#[test]
fn data_folder_alone_is_enough() {
    let config = load("", &[], Raw::default()).expect("defaults");
    assert_eq!((config.player, config.phonebooks.len(), config.listen), (None, 0, LISTEN));
    assert_eq!(config.tuning, Tuning::default());
}

#[test]
fn values_are_shown_as_they_are_written() {
    let file = "compression = \"never\"\ncontact_requests = \"nobody\"\nlog_format = \"json\"\n";
    let shown = load(file, &[], Raw::default()).expect("valid").to_string();
    for line in ["compression = never\n", "contact_requests = nobody\n", "log_format  = json"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn stun_is_a_switch_or_other_servers() {
    for (file, is_on, others, shown) in [
        ("", true, 0, "true"),
        ("stun = false", false, 0, "false"),
        ("stun = []", true, 0, "true"),
        ("stun = [\"a.example:3478\", \"[2001:db8::1]:9\"]", true, 2, "[a.example:3478, [2001:db8::1]:9]"),
    ] {
        let config = load(file, &[], Raw::default()).expect(file);
        assert_eq!((config.stun.is_on, config.stun.others.len()), (is_on, others), "{file}");
        assert!(config.to_string().contains(&format!("stun        = {shown}\n")), "{config}");
    }
    let env = [("FYTECLUB_STUN", "a.example:1, b.example:2")];
    let others = load("stun = false", &env, Raw::default()).expect("valid").stun.others;
    assert_eq!(others, [("a.example".to_owned(), 1), ("b.example".to_owned(), 2)]);
}

#[test]
fn hidden_settings_are_numbers_within_a_range() {
    let env = [("FYTECLUB_PACKET", "1452"), ("FYTECLUB_DATA_KEY_BYTES", "33554432")];
    let config = load("", &env, Raw::default()).expect("valid");
    assert_eq!(config.tuning, Tuning::new(Some(1452), Some(32 << 20)));
    assert!(!config.to_string().contains("1452"), "{config}");
    for (variable, value, range) in [
        ("FYTECLUB_PACKET", "1199", "from 1200 to 6500"),
        ("FYTECLUB_PACKET", "6501", "from 1200 to 6500"),
        ("FYTECLUB_DATA_KEY_BYTES", "33554431", "from 33554432 to "),
        ("FYTECLUB_DATA_KEY_BYTES", "18446744073709551615", "from 33554432 to "),
        ("FYTECLUB_DATA_KEY_BYTES", "many", "from 33554432 to "),
    ] {
        let error = load("", &[(variable, value)], Raw::default()).expect_err(value).to_string();
        assert!(error.contains(variable) && error.contains(range), "{error}");
    }
}

#[test]
fn flags_override_environment_overrides_file() {
    let file = "player = \"A A@File\"\nlisten = \"127.0.0.1:17001\"\ncache_limit = \"1 GiB\"\n";
    let env = [("FYTECLUB_PLAYER", "A A@Env"), ("FYTECLUB_LISTEN", "127.0.0.1:17002"), ("FYTECLUB_IPC", "")];
    let flags = Raw { player: Some(Word("A A@Flag".into())), ..Raw::default() };
    let config = load(file, &env, flags).expect("valid");
    assert_eq!(config.player.expect("named").as_str(), "A A@Flag");
    assert_eq!(config.listen.port(), 17002);
    assert_eq!((config.cache_limit, config.ipc), (1 << 30, None));
}

/// Wrong values for every setting, as TOML and as the sentence shows them, with the accepted values.
const NONSENSE: &[(&str, &str, &str, &str)] = &[
    ("data_dir", "\"\"", "", "the path of a folder"),
    ("data_dir", "\"~/fyteclub\"", "~/fyteclub", "write the whole path"),
    ("player", "\"Alice\"", "Alice", "@"),
    ("player", "5", "5", "@"),
    ("player", "\"A\\u202e A@B\"", r"A\u{202e} A@B", "it is not valid"),
    ("phonebooks", "[\"ftp://x\"]", "ftp://x", "http://HOST:PORT"),
    ("phonebooks", "\"x\"", "x", "http://HOST:PORT"),
    ("phonebooks", "[\"http://a\", 5]", "5", "http://HOST:PORT"),
    ("phonebooks", "7", "7", "http://HOST:PORT"),
    ("listen", "\"7777\"", "7777", "IP:PORT"),
    ("listen", "7777", "7777", "IP:PORT"),
    ("listen", "\"localhost:7777\"", "localhost:7777", "IP:PORT"),
    ("listen", "\"8.8.8.8:7777\"", "8.8.8.8:7777", "an address of this machine"),
    ("listen", "\"224.0.0.1:7777\"", "224.0.0.1:7777", "an address of this machine"),
    ("ipc", "\"\"", "", "it is empty"),
    ("ipc", "\"/\"", "/", "that is a folder, not a socket"),
    ("ipc", "\"~/a.sock\"", "~/a.sock", "write the whole path"),
    ("cache_limit", "\"lots\"", "lots", "as in `20 GiB`, from 64 MiB to 1024 TiB"),
    ("cache_limit", "5", "5", "from 64 MiB"),
    ("cache_limit", "1.5", "1.5", "a whole number"),
    ("cache_limit", "-5", "-5", "a whole number"),
    ("cache_limit", "true", "true", "a whole number"),
    ("cache_limit", "\"99999999999 TiB\"", "99999999999 TiB", "to 1024 TiB"),
    ("min_free", "\"some\"", "some", "as in `1 GiB`"),
    ("min_free", "\"5000 TiB\"", "5000 TiB", "to 1024 TiB"),
    ("prefetch_budget", "\"all\"", "all", "as in `256 MiB`, from 0 B"),
    ("prefetch_budget", "0.5", "0.5", "a whole number"),
    ("compression", "\"max\"", "max", "auto, always or never"),
    ("compression", "true", "true", "auto, always or never"),
    ("upload_limit", "\"fast\"", "fast", "`2 MiB`"),
    ("download_limit", "\"1.5 MiB\"", "1.5 MiB", "or off"),
    ("peer_upload_limit", "0", "0", "at least 16 KiB a second"),
    ("peer_download_limit", "16383", "16383", "at least 16 KiB a second"),
    ("limit_lan", "\"maybe\"", "maybe", "true or false"),
    ("limit_lan", "1", "1", "true or false"),
    ("stun", "\"sometimes\"", "sometimes", "true, false or a list of HOST:PORT"),
    ("stun", "[\"stun.example\"]", "stun.example", "true, false or a list of HOST:PORT"),
    ("stun", "[true, \"a:1\"]", "true", "a list of HOST:PORT"),
    ("heartbeat", "0", "0", "1 to 3600"),
    ("heartbeat", "2.5", "2.5", "1 to 3600"),
    ("heartbeat", "\"often\"", "often", "1 to 3600"),
    ("visibility", "\"all\"", "all", "contacts, listed or hidden"),
    ("hidden_secret", "\"long enough to be one\"", "(not shown)", "visibility"),
    ("contact_requests", "\"all\"", "all", "ask or nobody"),
    ("upnp", "\"yes\"", "yes", "true or false"),
    ("nat_pmp", "1", "1", "true or false"),
    ("lan", "\"maybe\"", "maybe", "true or false"),
    ("punching", "\"maybe\"", "maybe", "true or false"),
    ("relay", "\"always\"", "always", "on, off or only"),
    ("relay", "true", "true", "on, off or only"),
    ("log", "\"loud\"", "loud", "off, error, warn, info, debug or trace"),
    ("log", "\"info,loud\"", "info,loud", "off, error, warn, info, debug or trace"),
    ("log", "\"a=b=c\"", "a=b=c", "TARGET=LEVEL"),
    ("log", "\"\"", "", "off, error, warn, info, debug or trace"),
    ("log", "\"info[span]=debug\"", "info[span]=debug", "separated by commas"),
    ("log", "\"info,TARGET=\"", "info,TARGET=", "`TARGET=` in it is neither"),
    ("log_format", "\"xml\"", "xml", "text or json"),
    ("packet", "\"large\"", "large", "a number of bytes"),
    ("data_key_bytes", "-1", "-1", "a number of bytes"),
];

#[test]
fn nonsense_is_refused_with_key_value_and_choice() {
    for (key, toml, shown, accepted) in NONSENSE {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        let flag = Some(Dir(dir.path().to_owned())).filter(|_| *key != "data_dir");
        let flags = Raw { data_dir: flag, ..Raw::default() };
        std::fs::write(&path, format!("{key} = {toml}")).expect("written");
        let error = Config::load(flags, Some(&path), |_| None).expect_err(key).to_string();
        let start = format!("{}: `{key}` is `{shown}`, and ", path.display());
        assert!(error.starts_with(&start) && error.contains(accepted), "{key} = {toml}: {error}");
    }
}

#[test]
fn value_that_is_no_toml_is_named_with_a_right_one() {
    let keys: std::collections::BTreeSet<_> = NONSENSE.iter().map(|(key, ..)| *key).collect();
    for key in keys {
        let example = Raw::example(key).expect("each setting has one");
        let other = if key == "hidden_secret" { "visibility = \"hidden\"\n" } else { "" };
        load(&format!("{other}{key} = {example}\n"), &[], Raw::default()).expect(key);
        for wrong in ["nope", "\"open", "", "[\n  nope\n]", "{ a = 1 }", "1979-05-27"] {
            let file = format!("# a comment\nlog = \"info\"\n{key} = {wrong}\n").replacen(
                "log = \"info\"\nlog",
                "log",
                1,
            );
            let error = load(&file, &[], Raw::default()).expect_err(&file).to_string();
            let says = [format!("the value of `{key}` cannot be read ("), format!("`{key} = {example}`")];
            assert!(says.iter().all(|says| error.contains(says)), "{file}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
    for (file, says) in [
        ("stun = true\nstun = false", "line 2: duplicate key"),
        ("stun = true\n  plaer = 1", "line 2: unknown field `plaer`"),
        ("stun = true\n= broken", "line 2: "),
    ] {
        let error = load(file, &[], Raw::default()).expect_err(file).to_string();
        assert!(error.contains(says) && !error.contains("`stun`"), "{file}: {error}");
    }
}

#[test]
fn layer_with_the_wrong_value_is_named() {
    let variable = [("FYTECLUB_CACHE_LIMIT", "1.5 GiB")];
    let error = load("cache_limit = \"2 GiB\"", &variable, Raw::default()).expect_err("no size").to_string();
    assert!(
        error.starts_with("the environment variable FYTECLUB_CACHE_LIMIT: `cache_limit` is `1.5 GiB`"),
        "{error}"
    );
    let flags = Raw { listen: Some(Word("here".into())), ..Raw::default() };
    let error = load("", &[], flags).expect_err("no address").to_string();
    assert!(error.starts_with("the command line: `listen` is `here`"), "{error}");
    let config =
        load("", &[("FYTECLUB_CONFIG", "")], Raw::default()).expect("an empty variable counts as unset");
    assert_eq!(config.cache_limit, 20 << 30);
}

#[test]
fn unknown_key_is_named_with_its_line() {
    for (file, says) in [
        ("plaer = \"x\"", "plaer"),
        ("visibility = \"hidden\"\nhidden_secret = \"short\"", "16 characters"),
        ("visibility = \"hidden\"", "`hidden_secret` is `(not set)`"),
        ("player = [\"A A@B\"]", "player"),
        ("= broken", "config.toml"),
    ] {
        let error = load(file, &[], Raw::default()).expect_err(file).to_string();
        assert!(error.contains(says), "{file}: {error}");
    }
    for accepted in [
        "log = \"info,fyteclub_daemon=debug\"",
        "log = \"WARN\"",
        "limit_lan = \"false\"",
        "heartbeat = \"5\"",
        "listen = \"[::]:0\"",
        "phonebooks = \"http://a:1\"",
    ] {
        load(accepted, &[], Raw::default()).expect(accepted);
    }
}

#[test]
fn unusable_home_is_named_with_advice() {
    let load = |home: Option<&'static str>| {
        let env = move |key: &str| home.filter(|_| key == "HOME").map(str::to_owned);
        Config::load(Raw::default(), None, env).expect_err("no folder").to_string()
    };
    for (home, says) in
        [(None, "HOME is not set"), (Some(""), "HOME is empty"), (Some("home"), "no absolute path")]
    {
        let error = load(home);
        assert!(error.contains(says) && error.contains("--data-dir"), "{error}");
    }
}

/// As scripts ask for no file at all; by its usual name it is refused, like any device.
#[test]
#[cfg(unix)]
fn null_device_is_an_empty_file_where_it_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let null = Path::new("/dev/null");
    let flags = || Raw { data_dir: Some(Dir(dir.path().to_owned())), ..Raw::default() };
    let config = Config::load(flags(), Some(null), |_| None).expect("defaults");
    assert_eq!(config.listen, LISTEN);
    std::os::unix::fs::symlink(null, dir.path().join("config.toml")).expect("a link");
    let told = Config::load(flags(), None, |_| None).expect_err("a device").to_string();
    assert!(told.contains("config.toml is a device"), "{told}");
}

#[test]
fn file_as_data_folder_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    let flags = Raw { data_dir: Some(Dir(file.clone())), ..Raw::default() };
    let error = Config::load(flags, None, |_| None).expect_err("a file").to_string();
    assert!(error.contains(&file.display().to_string()) && error.contains("--data-dir"), "{error}");
    assert!(!error.contains("config"), "{error}");
}

#[test]
fn port_mapping_is_on_and_has_two_switches() {
    let both = |file: &str, env: &[(&str, &str)]| {
        let Switches { upnp, nat_pmp } = load(file, env, Raw::default()).expect("valid").mapping;
        (upnp, nat_pmp)
    };
    assert_eq!(both("", &[]), (true, true));
    assert_eq!(both("upnp = false\n", &[]), (false, true));
    assert_eq!(both("nat_pmp = true\n", &[("FYTECLUB_NAT_PMP", "false")]), (true, false));
    let config = load("upnp = false\n", &[], Raw::default()).expect("valid").to_string();
    assert!(config.contains("upnp        = false\nnat_pmp     = true\n"), "{config}");
    let error = load("", &[("FYTECLUB_UPNP", "yes")], Raw::default()).expect_err("neither").to_string();
    assert!(error.contains("true or false"), "{error}");
}

#[test]
fn limits_are_off_unless_set() {
    let config = load("", &[], Raw::default()).expect("defaults");
    assert_eq!(config.limits, Limits::default());
    let env = [("FYTECLUB_DOWNLOAD_LIMIT", "off"), ("FYTECLUB_LIMIT_LAN", "false")];
    let file = "upload_limit = \"2 MiB\"\ndownload_limit = \"1 MiB\"\npeer_upload_limit = 20000\n";
    let config = load(file, &env, Raw::default()).expect("valid");
    let rate = |bytes: u64| Some(bytes.try_into().expect("above the floor"));
    let limits = Limits { upload: rate(2 << 20), peer_upload: rate(20_000), lan: false, ..Limits::default() };
    assert_eq!(config.limits, limits);
    assert!(config.to_string().contains("upload_limit = 2 MiB/s\ndownload_limit = off\n"), "{config}");
    let error = load("", &[("FYTECLUB_LIMIT_LAN", "maybe")], Raw::default()).expect_err("neither");
    assert!(error.to_string().contains("true or false"), "{error}");
}
