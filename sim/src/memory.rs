//! How much memory this process has used.

/// The most resident memory so far (Linux's `VmHWM`), in bytes; `None` where the system does not say.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_and_nothing_else_is_taken_for_it() {
        assert_eq!(
            peak_of("VmPeak:\t 9 kB\nVmHWM:\t  12 kB\n"),
            Some(12 * 1024)
        );
        for none in ["", "VmRSS: 1 kB", "VmHWM: 1 MB", "VmHWM: x kB"] {
            assert_eq!(peak_of(none), None, "{none}");
        }
    }
}
