//! What Linux says about a process and about the machine.

use std::time::Duration;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Processor time that a process has used, all of its threads together.
pub fn cpu(pid: u32) -> Duration {
    let stat = read(&format!("/proc/{pid}/stat"));
    // The name in parentheses may hold anything; what follows is numbers: utime and stime are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // Linux shows hundredths of a second to programs, whatever its own tick.
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

fn status_kb(pid: u32, key: &str) -> u64 {
    let status = read(&format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Resident memory, MB.
pub fn resident(pid: u32) -> f64 {
    status_kb(pid, "VmRSS") as f64 * 1024.0 / 1e6
}

/// The most that was ever resident, MB.
pub fn peak(pid: u32) -> f64 {
    status_kb(pid, "VmHWM") as f64 * 1024.0 / 1e6
}

/// Load average of the last minute.
pub fn load_average() -> String {
    read("/proc/loadavg").split_whitespace().next().unwrap_or("?").to_owned()
}

/// Processor, cores, memory and kernel, in one line.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let memory = read("/proc/meminfo");
    let memory: u64 =
        memory.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0) / (1024 * 1024);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{}, {cores} cores, {memory} GiB, Linux {}", model.unwrap_or("processor unknown"), kernel.trim())
}
