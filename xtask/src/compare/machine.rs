//! The machine, and what processes cost it. Read from `/proc`, so on Linux alone; elsewhere nothing is
//! known.

use std::fs;
use std::thread;

use procfs_core::process::{Stat, Status};
use procfs_core::{ExplicitSystemInfo, FromRead, FromReadSI, KernelStats, LoadAverage};
use serde::Serialize;

/// Parts of a second in which the kernel tells times to programs, whatever it counts in itself
/// (`USER_HZ`; the manual page proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// What a comparison says about where it ran.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    cores: Option<usize>,
    kernel: Option<String>,
    processor: Option<String>,
    /// Processes that ran or waited to, over the minute before the start.
    load_before: Option<f32>,
    /// Of the time that the machine could have worked, the part that its host gave to others.
    stolen: Option<f64>,
}

/// Looks at the machine while it works.
pub(super) struct Watch {
    machine: Machine,
    begun: Option<Times>,
}

impl Watch {
    pub(super) fn begin() -> Self {
        let line = |path| Some(fs::read_to_string(path).ok()?.trim().to_owned());
        let machine = Machine {
            cores: thread::available_parallelism().ok().map(usize::from),
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: line("/proc/cpuinfo").as_deref().and_then(processor),
            load_before: LoadAverage::from_file("/proc/loadavg")
                .ok()
                .map(|load| load.one),
            stolen: None,
        };
        Self {
            machine,
            begun: Times::now(),
        }
    }

    /// What is known of the machine by now.
    pub(super) fn machine(&self) -> Machine {
        let stolen = self.begun.zip(Times::now());
        Machine {
            stolen: stolen.map(|(begun, now)| now.stolen_since(begun)),
            ..self.machine.clone()
        }
    }
}

impl Machine {
    /// A line for people.
    pub(super) fn describe(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.cores.map(|cores| format!("{cores} cores")));
        parts.extend(self.processor.clone());
        parts.extend(
            self.kernel
                .as_ref()
                .map(|kernel| format!("kernel {kernel}")),
        );
        let load = self.load_before;
        parts.extend(load.map(|load| format!("load {load:.1} before")));
        parts.extend(
            self.stolen
                .map(|stolen| format!("{:.1} % of the time stolen by others", stolen * 100.0)),
        );
        if parts.is_empty() {
            "nothing is known of it".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// What all processors did since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    all: u64,
    stolen: u64,
}

impl Times {
    fn now() -> Option<Self> {
        Self::parse(&fs::read("/proc/stat").ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let info = ExplicitSystemInfo {
            boot_time_secs: 0,
            ticks_per_second: TICKS_PER_SECOND,
            // Of no meaning to this file.
            page_size: 4096,
            is_little_endian: true,
        };
        let total = KernelStats::from_read(text, &info).ok()?.total;
        let stolen = total.steal.unwrap_or(0);
        // Guests are within user and nice.
        let parts = [
            total.user,
            total.nice,
            total.system,
            total.idle,
            total.iowait.unwrap_or(0),
            total.irq.unwrap_or(0),
            total.softirq.unwrap_or(0),
            stolen,
        ];
        Some(Self {
            all: parts.iter().sum(),
            stolen,
        })
    }

    /// The part of the time since then that was stolen, from 0 to 1.
    fn stolen_since(self, begun: Self) -> f64 {
        let all = self.all.saturating_sub(begun.all).max(1);
        self.stolen.saturating_sub(begun.stolen) as f64 / all as f64
    }
}

/// The processor's name in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    })
}

/// The processor time that a process has taken so far, in seconds, of all its threads.
pub(super) fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = Stat::from_file(format!("/proc/{process}/stat")).ok()?;
    Some((stat.utime + stat.stime) as f64 / TICKS_PER_SECOND as f64)
}

/// The most memory that a process has had at a time, in bytes.
pub(super) fn peak_memory(process: u32) -> Option<u64> {
    let status = Status::from_file(format!("/proc/{process}/status")).ok()?;
    Some(status.vmhwm? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 10 0 5 35 20 0\n\
        cpu0 100 0 50 800 10 0 5 35 20 0\n\
        intr 1 2 3\nctxt 4\nbtime 1700000000\nprocesses 5\nprocs_running 1\nprocs_blocked 0\n";

    #[test]
    fn what_is_stolen_is_a_part_of_all_that_there_was() {
        let now = Times::parse(STAT.as_bytes()).unwrap();
        assert_eq!(
            now,
            Times {
                all: 1000,
                stolen: 35
            }
        );
        let begun = Times {
            all: 900,
            stolen: 10,
        };
        assert_eq!(now.stolen_since(begun), 0.25);
        assert_eq!(now.stolen_since(now), 0.0);
    }

    #[test]
    fn the_processor_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t: fpu\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(processor("processor\t: 0\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_taken_time_and_memory_and_one_that_is_not_there_has_not() {
        let this = std::process::id();
        assert!(cpu_seconds(this).is_some());
        assert!(peak_memory(this).unwrap() > 100_000);
        // Beyond the largest number that Linux gives (2^22).
        assert_eq!(cpu_seconds(1 << 23), None);
        assert_eq!(peak_memory(1 << 23), None);
    }
}
