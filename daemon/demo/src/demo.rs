//! The demo: a phone book, two daemons as processes, and one look fetched by one from the other.
//!
//! It uses the client SDK, as a plugin would.

use crate::{
    daemon_process::DaemonProcess,
    progress::{Progress, bytes},
    sample,
};
use anyhow::{Context, ensure};
use clap::Args;
use fyteclub_client::{Event, Fetched, PlayerName, Published, Standing};
use fyteclub_phonebook::{Config as BookConfig, Server};
use fyteclub_proto::{
    foreign::escaped_lines,
    id::BlobHash,
    number::{f64_of, whole},
    size,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

const ALICE: &str = "Alice Ashe@Gilgamesh";
/// How long the pairing may take.
const PAIR_TIME: Duration = Duration::from_secs(10);
const BOB: &str = "Bob Birch@Balmung";

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// A Penumbra mod folder or a .pmp; without one a sample is made
    #[arg(value_name = "MOD_FOLDER | FILE.pmp")]
    look: Option<PathBuf>,
    /// Keep the folders of both players
    #[arg(long)]
    keep: bool,
}

/// 0 when the look was fetched and every byte is right, 130 after Ctrl-C, 1 otherwise.
pub(crate) fn run(args: Demo) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("no runtime").and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                result = demo(args) => result.map(|()| ExitCode::SUCCESS),
                // Dropping the children's handles ends them.
                result = fyteclub_daemon::service::stop_requested() => {
                    result.context("cannot listen for signals")?;
                    eprintln!("interrupted: both daemons are stopped");
                    Ok(ExitCode::from(130))
                }
            }
        })
    });
    result.unwrap_or_else(|error| {
        eprintln!("{}", escaped_lines(&format!("fyteclub-demo: {error:#}")));
        ExitCode::FAILURE
    })
}

async fn demo(args: Demo) -> anyhow::Result<()> {
    let folder =
        tempfile::Builder::new().prefix("fyteclub-demo-").tempdir().context("no temporary folder")?;
    let look = match &args.look {
        Some(path) => {
            std::path::absolute(path).with_context(|| format!("`{}` is not a path", path.display()))?
        }
        None => {
            let path = folder.path().join("sample-mod");
            sample::write(&path).context("the sample mod cannot be written")?;
            path
        }
    };
    let result = play(folder.path(), &look).await;
    if args.keep {
        say!("The folders are kept: {}", folder.keep().display());
    } else if result.is_ok() {
        say!("The folders are removed now; --keep leaves them.");
    }
    result
}

async fn play(folder: &Path, look: &Path) -> anyhow::Result<()> {
    let book = BookConfig { listen: ([127, 0, 0, 1], 0).into(), ..BookConfig::default() };
    let book = Server::build(book).context("the phone book cannot listen")?.spawn().context("no thread")?;
    let url = format!("http://{}", book.addr());
    say!("Phone book    {url}");
    let (alice_dir, bob_dir) = (folder.join("alice"), folder.join("bob"));
    let (alice, bob) = tokio::try_join!(
        DaemonProcess::start(ALICE, &alice_dir, &url),
        DaemonProcess::start(BOB, &bob_dir, &url),
    )?;
    say!("Alice's       {ALICE}, process {}", alice.pid());
    say!("Bob's         {BOB}, process {}", bob.pid());

    pair(&alice, &bob).await?;
    let published = alice
        .client
        .appearance_publish_mod(look, vec![])
        .await
        .context("Alice's look cannot be published")?;
    say_published(look, &published);
    let alice_name: PlayerName = ALICE.parse()?;
    let out = folder.join("bobs-copy");
    let progress = Progress::start(&bob.client).await?;
    let fetched = bob.client.peer_fetch(&alice_name, Some(&out)).await;
    progress.finish().await;
    let fetched = fetched.context("Bob cannot fetch Alice's look")?;
    verify(&fetched)?;
    ensure!(fetched.appearance == published.appearance, "Bob fetched another look than Alice published");
    say_fetched(&fetched, &out);

    let again = bob.client.peer_fetch(&alice_name, None).await.context("the second fetch failed")?;
    ensure!(again.bytes_transferred == 0, "the second fetch moved {} bytes", again.bytes_transferred);
    say!("Second fetch  nothing transferred: {:.0} ms", again.seconds * 1e3);

    alice.stop().await?;
    bob.stop().await?;
    book.stop().context("the phone book did not stop cleanly")
}

/// Makes the two players contacts: Alice gives Bob a link, and his daemon sends its secret to hers.
async fn pair(alice: &DaemonProcess, bob: &DaemonProcess) -> anyhow::Result<()> {
    let mut events = bob.client.watch().await.context("Bob cannot watch")?;
    let link = alice.client.contacts_invite().await.context("Alice cannot invite")?.link;
    bob.client.contacts_join(&link).await.context("Bob cannot use Alice's invitation")?;
    let paired = async {
        while let Some(Ok(event)) = events.next().await {
            if let Event::ContactChanged { contact, .. } = event
                && contact.standing == Standing::Paired
            {
                return true;
            }
        }
        false
    };
    let paired = tokio::time::timeout(PAIR_TIME, paired).await.unwrap_or(false);
    ensure!(paired, "Alice's daemon did not answer Bob's");
    say!("Contacts      Bob used Alice's invitation: {}…", link.chars().take(40).collect::<String>());
    Ok(())
}

fn say_published(look: &Path, published: &Published) {
    let files = size::count(published.files, "file");
    say!("Published     {}: {files}, {}", look.display(), bytes(published.bytes));
    for out in &published.left_out {
        say!("  left out    {} ({}): {}", out.game_path, out.file, out.reason);
    }
}

/// Reads every file again, as the game would.
fn verify(fetched: &Fetched) -> anyhow::Result<()> {
    for file in &fetched.files {
        let content = fs::read(&file.path).with_context(|| format!("{} cannot be read", file.path))?;
        ensure!(BlobHash::of(&content) == file.hash, "{} has wrong bytes", file.path);
    }
    Ok(())
}

fn say_fetched(fetched: &Fetched, out: &Path) {
    let paths: usize = fetched.files.iter().map(|file| file.game_paths.len()).sum();
    let rate = f64_of(fetched.bytes_fetched) / fetched.seconds.max(0.001);
    let files = fetched.files.len();
    say!("Fetched       {}, {}; all files verified", size::count(files, "file"), bytes(fetched.bytes_total));
    let (paths, different) = (size::count(paths, "game path"), size::count(files, "different file"));
    say!("Deduplicated  {paths} for {different}");
    let saved = 100.0 * (1.0 - f64_of(fetched.bytes_transferred) / f64_of(fetched.bytes_fetched).max(1.0));
    if saved >= 1.0 {
        say!("Compressed    to {} on the wire, {saved:.0} % less", bytes(fetched.bytes_transferred));
    } else {
        say!("Compressed    not: these files do not shrink");
    }
    say!("Time          {:.2} s, {}/s", fetched.seconds, bytes(whole(rate)));
    let path = fetched.path.map_or_else(|| "none".to_owned(), |path| format!("{path:?}").to_lowercase());
    say!("Path          {path}");
    let cache = fetched.files.first().and_then(|file| Path::new(&file.path).parent()).map(Path::to_owned);
    say!("Files in      {}", cache.unwrap_or_else(|| PathBuf::from("-")).display());
    say!("As a mod in   {}", out.display());
}
