//! Signals that the launcher had ignored: `nohup` ignores SIGHUP, a shell without job control SIGINT for background
//! programs. A program that listens for such a signal would undo that.

/// Whether this signal is ignored now. Call it before a listener is installed; `false` where the system does not tell.
pub fn is_ignored(signal: i32) -> bool {
    #[cfg(target_os = "linux")]
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let status = String::new();
    in_mask(&status, signal)
}

fn in_mask(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_counts_from_one() {
        let status = "Name:\tfyteclubd\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        let ignored: Vec<i32> = (0..70).filter(|signal| in_mask(status, *signal)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!in_mask("", 1));
    }
}
