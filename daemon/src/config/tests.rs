use super::{check::LISTEN, *};

fn load(file: &str, env: &[(&str, &str)], flags: Raw) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).expect("written");
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let env = move |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let flags = Raw { data_dir: Some(dir.path().to_owned()), ..flags };
    Config::load(flags, None, env)
}

#[test]
fn nothing_but_a_data_folder_is_enough() {
    let config = load("", &[], Raw::default()).expect("defaults");
    assert_eq!((config.player, config.phonebooks.len(), config.listen), (None, 0, LISTEN));
    assert_eq!(config.tuning, Tuning::default());
}

#[test]
fn hidden_settings_are_numbers_and_are_clamped() {
    let env = [("FYTECLUB_PACKET", "1452"), ("FYTECLUB_DATA_KEY_BYTES", "18446744073709551615")];
    let config = load("", &env, Raw::default()).expect("valid");
    assert_eq!(config.tuning, Tuning::new(Some(1452), None), "a data key lasts no longer than by default");
    assert!(!config.to_string().contains("1452"), "{config}");
    let error = load("", &[("FYTECLUB_DATA_KEY_BYTES", "many")], Raw::default()).expect_err("no number");
    assert!(error.to_string().contains("FYTECLUB_DATA_KEY_BYTES"), "{error}");
}

#[test]
fn flags_beat_environment_beats_file() {
    let file = "player = \"A A@File\"\nlisten = \"127.0.0.1:1\"\ncache_limit = \"1 GiB\"\n";
    let env = [("FYTECLUB_PLAYER", "A A@Env"), ("FYTECLUB_LISTEN", "127.0.0.1:2"), ("FYTECLUB_IPC", "")];
    let flags = Raw { player: Some("A A@Flag".into()), ..Raw::default() };
    let config = load(file, &env, flags).expect("valid");
    assert_eq!(config.player.expect("named").as_str(), "A A@Flag");
    assert_eq!(config.listen.port(), 2);
    assert_eq!((config.cache_limit, config.ipc), (1 << 30, None));
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    for (file, says) in [
        ("plaer = \"x\"", "plaer"),
        ("player = \"Alice\"", "@"),
        ("listen = \"7777\"", "IP:PORT"),
        ("packet = \"large\"", "config.toml"),
        ("cache_limit = \"lots\"", "20 GiB"),
        ("cache_limit = 5", "64 MiB"),
        ("min_free = \"some\"", "1 GiB"),
        ("min_free = \"5000 TiB\"", "1 GiB"),
        ("prefetch_budget = \"all\"", "256 MiB"),
        ("phonebooks = [\"ftp://x\"]", "http://HOST:PORT"),
        ("compression = \"max\"", "auto, always or never"),
        ("upload_limit = \"fast\"", "2 MiB"),
        ("peer_download_limit = 16383", "at least 16 KiB a second"),
        ("heartbeat = 0", "1 to 3600"),
        ("visibility = \"all\"", "contacts, listed or hidden"),
        ("visibility = \"hidden\"\nhidden_secret = \"short\"", "16 characters"),
        ("contact_requests = \"all\"", "ask or nobody"),
        ("log = \"a=b=c\"", "filter"),
        ("= broken", "config.toml"),
    ] {
        let error = load(file, &[], Raw::default()).expect_err(file).to_string();
        assert!(error.contains(says), "{file}: {error}");
    }
}

#[test]
fn home_that_is_none_is_told_with_the_way_out() {
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

#[test]
fn file_as_data_folder_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    let flags = Raw { data_dir: Some(file.clone()), ..Raw::default() };
    let error = Config::load(flags, None, |_| None).expect_err("a file").to_string();
    assert!(error.contains(&file.display().to_string()) && error.contains("--data-dir"), "{error}");
    assert!(!error.contains("config"), "{error}");
}

#[test]
fn limits_are_off_unless_they_are_said() {
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
