//! Resident memory and open descriptors of this process, where reading them is cheap.

/// Bytes.
#[cfg(target_os = "linux")]
pub(crate) fn memory() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * fyteclub_proto::number::u64_of(rustix::param::page_size()))
}

#[cfg(target_os = "linux")]
pub(crate) fn descriptors() -> Option<usize> {
    // Without the descriptor that reads the folder.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn memory() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn descriptors() -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_and_descriptors_grow_when_they_are_taken() {
        assert!(memory().unwrap() > 100_000);
        let before = descriptors().unwrap();
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/proc/self/statm").unwrap()).collect();
        assert!(descriptors().unwrap() >= before + 50, "other tests may close theirs meanwhile");
        drop(files);
    }
}
