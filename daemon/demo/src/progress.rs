//! The demo's progress: a bar on a terminal, a line a second elsewhere.

use fyteclub_client::{Client, Event};
use fyteclub_proto::{number::f64_of, size};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

const LINE_EVERY: Duration = Duration::from_secs(1);

/// Runs until it is finished or dropped.
pub(crate) struct Progress {
    task: tokio::task::JoinHandle<()>,
    bar: ProgressBar,
}

impl Progress {
    /// # Errors The daemon refuses to send events.
    pub(crate) async fn start(client: &Client) -> anyhow::Result<Self> {
        let mut events = client.watch().await?;
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = "{spinner} {bar:30} {percent:>3} %  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut last = Instant::now();
            while let Some(Ok(event)) = events.next().await {
                let Event::TransferProgress(now) = event else { continue };
                shown.set_length(now.bytes_total.max(1));
                shown.set_position(now.bytes_done);
                let text = format!(
                    "{} of {}, {} of {}, {}/s",
                    bytes(now.bytes_done),
                    bytes(now.bytes_total),
                    now.files_done,
                    size::count(now.files_total, "file"),
                    bytes(now.rate)
                );
                if !terminal && last.elapsed() >= LINE_EVERY {
                    last = Instant::now();
                    say!("Fetching      {text}");
                }
                shown.set_message(text);
            }
        });
        Ok(Self { task, bar })
    }

    pub(crate) async fn finish(self) {
        self.task.abort();
        // Aborted or finished: both are fine.
        self.task.await.ok();
        self.bar.finish_and_clear();
    }
}

/// Bytes in a readable unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (f64_of(count) / 1e3, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_readable_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1500), "1.5 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(5 << 40), "5.5 TB");
    }
}
