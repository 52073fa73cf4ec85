//! What one call of a plugin may use, and the bookkeeping that holds it to that.

use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;
use wasmtime::error::Context as _;

/// The largest component that is compiled. Whoever loads one decides what is usual; this is where it ends.
pub const MAX_COMPONENT_BYTES: usize = 128 << 20;

/// The largest memory limit a plugin can be given.
pub const MAX_MEMORY_BYTES: usize = 512 << 20;

/// The largest output limit a plugin can be given: no more is copied from a guest in one host call.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// The same for a catalog source: one page.
pub const MAX_PAGE_BYTES: usize = 32 << 20;

/// The largest response a plugin can be given.
pub const MAX_HTTP_RESPONSE_BYTES: usize = 16 << 20;

/// The most calls at once a plugin can be given.
pub const MAX_IN_FLIGHT: usize = 256;

/// What the host copies from a guest in one host call before it stops listening.
pub(crate) const HOSTCALL_FUEL: usize = MAX_OUTPUT_BYTES;

/// Handles (streams, pollables) a guest may hold at once.
pub(crate) const MAX_HANDLES: usize = 256;

/// Bytes of JSON the host reads or writes for a guest that count as one millisecond of its CPU budget: the epoch cannot
/// see time spent in the host.
pub(crate) const HOST_BYTES_PER_TICK: usize = 512 << 10;

/// Parts of one component instance. Counted in real components: Rust 3 core modules, 1 memory, 2 tables of 200 elements;
/// JavaScript (QuickJS) 8, 2 and 2 of 800; Python 14, 1 and 2 of 5,800, and one module more for each native library.
pub(crate) const MAX_INSTANCES: u32 = 32;
pub(crate) const MAX_MEMORIES: u32 = 4;
pub(crate) const MAX_TABLES: u32 = 8;
pub(crate) const MAX_TABLE_ELEMENTS: usize = 20_000;

/// What a message adds to the budget of the call that inspects it: a budget that fits small messages must not refuse large
/// ones. Measured with the bundled scanner on its worst case (1 MiB of short strings): 22 ms, 7 MiB.
const BYTES_PER_MORE_CPU_MS: usize = 32 << 10;
const MORE_MEMORY_PER_BYTE: usize = 8;

/// The budget of one call. Operators set it per plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories together, at most [`MAX_MEMORY_BYTES`]; eight times the message's size comes on top.
    pub memory: usize,
    /// CPU time, counted in milliseconds begun, of which the first two may last four each; one more for each 32 KiB of the message.
    pub cpu: Duration,
    /// Time from start to end, waiting included; four more milliseconds for each 32 KiB of the message.
    pub wall: Duration,
    /// Bytes that the plugin may hand over: findings, edits, answers and notes together; at most [`MAX_OUTPUT_BYTES`]. Of a
    /// catalog source, one page; at most [`MAX_PAGE_BYTES`].
    pub output: usize,
    /// Requests over HTTP.
    pub http_calls: u32,
    /// Bytes of the body of one response, at most [`MAX_HTTP_RESPONSE_BYTES`].
    pub http_response: usize,
    /// Calls of this plugin at once, at most [`MAX_IN_FLIGHT`]; the others wait, and their time runs.
    pub in_flight: usize,
    /// Log lines a second over all calls; ten times as many in a burst.
    pub log_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu: Duration::from_millis(50),
            wall: Duration::from_secs(2),
            output: 1 << 20,
            http_calls: 8,
            http_response: 1 << 20,
            in_flight: 64,
            log_rate: 100,
        }
    }
}

impl Limits {
    /// What a fetch of a catalog source gets where the operator has not written otherwise: it reads whole registries, a page
    /// at a time, and nobody's message waits for it.
    pub const fn of_sources() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            output: 16 << 20,
            http_calls: 32,
            http_response: MAX_HTTP_RESPONSE_BYTES,
            in_flight: 4,
            log_rate: 100,
        }
    }

    /// The first limit that the engine cannot give, and the most it can, where the output can be `output` at most.
    pub(crate) fn impossible(&self, output: usize) -> Option<(&'static str, usize)> {
        let bounds = [
            ("memory", self.memory, MAX_MEMORY_BYTES),
            ("output", self.output, output),
            ("httpResponse", self.http_response, MAX_HTTP_RESPONSE_BYTES),
            ("inFlight", self.in_flight, MAX_IN_FLIGHT),
        ];
        bounds.into_iter().find(|(_, asked, most)| asked > most).map(|(what, _, most)| (what, most))
    }

    /// The budget of a call that inspects a message of this many bytes.
    pub(crate) fn for_message(&self, bytes: usize) -> Self {
        let more = u32::try_from(bytes / BYTES_PER_MORE_CPU_MS).unwrap_or(u32::MAX);
        let memory = self.memory.saturating_add(bytes.saturating_mul(MORE_MEMORY_PER_BYTE));
        Self {
            memory: memory.min(MAX_MEMORY_BYTES),
            cpu: self.cpu.saturating_add(Duration::from_millis(1) * more),
            wall: self.wall.saturating_add(Duration::from_millis(4) * more),
            ..*self
        }
    }

    /// The CPU budget in ticks of the engine's clock, at least one.
    pub(crate) fn ticks(&self) -> u32 {
        u32::try_from(self.cpu.as_millis()).unwrap_or(u32::MAX).max(1)
    }
}

/// A budget that was exceeded; travels inside the error that ends the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exceeded its {0}")]
pub(crate) struct Exceeded(pub(crate) &'static str);

pub(crate) const MEMORY: Exceeded = Exceeded("memory limit");
pub(crate) const TABLE: Exceeded = Exceeded("table limit");
pub(crate) const CPU: Exceeded = Exceeded("CPU budget");
pub(crate) const WALL: Exceeded = Exceeded("time limit");
pub(crate) const OUTPUT: Exceeded = Exceeded("output limit");

/// Handles that an instance may still hold when it is kept for another call: the runtimes of most languages hold on to
/// standard input and output.
pub(crate) const MAX_KEPT_HANDLES: usize = 16;

/// Calls after which an instance is not kept: whatever leaks in a guest leaks only so far.
pub(crate) const MAX_CALLS: u32 = 1000;

/// Bytes that an instance may have grown by since it was configured when it is kept for another call, besides an eighth of
/// what it had then: what large messages needed does not lie about, and what a runtime takes for its heap may stay.
const MAX_KEPT_GROWTH: usize = 1 << 20;

/// What one store has used.
pub(crate) struct Usage {
    memory_max: usize,
    memory: usize,
    /// Of it, what the instance had when it was configured.
    configured: usize,
    ticks_left: u32,
    /// A tick of the clock has met it.
    is_slow: bool,
    host_bytes: usize,
    output_left: usize,
    http_calls: u32,
    http_calls_max: u32,
    http_response: usize,
    ends: Instant,
}

impl Usage {
    pub(crate) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            memory_max: limits.memory,
            memory: 0,
            configured: 0,
            ticks_left: limits.ticks(),
            is_slow: false,
            host_bytes: 0,
            output_left: limits.output,
            http_calls: 0,
            http_calls_max: limits.http_calls,
            http_response: limits.http_response,
            ends: now.checked_add(limits.wall).unwrap_or(now),
        }
    }

    /// A new call in the same instance: its memory is what it was, everything else begins anew.
    pub(crate) fn renew(&mut self, limits: &Limits) {
        *self = Self { memory: self.memory, configured: self.configured, ..Self::new(limits) };
    }

    /// Bytes of all its memories together.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The instance is configured: what it has now is what it needs at rest.
    pub(crate) fn note_configured(&mut self) {
        self.configured = self.memory;
    }

    /// Whether there is memory left for another call within `limits`, a quarter of it, and keeping it is no waste.
    pub(crate) fn may_continue(&self, limits: &Limits) -> bool {
        let grown = self.memory.saturating_sub(self.configured);
        self.memory <= limits.memory / 4 * 3 && grown <= MAX_KEPT_GROWTH + self.configured / 8
    }

    /// A tick of the engine's clock met the guest. Says whether that is not the first one in its call, which may meet anybody.
    pub(crate) fn meet_tick(&mut self) -> Result<bool, Exceeded> {
        self.tick()?;
        Ok(std::mem::replace(&mut self.is_slow, true))
    }

    /// A millisecond of the CPU budget is used.
    fn tick(&mut self) -> Result<(), Exceeded> {
        self.ticks_left = self.ticks_left.checked_sub(1).ok_or(CPU)?;
        Ok(())
    }

    /// The host read or wrote `bytes` of JSON for the guest.
    pub(crate) fn host_work(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.host_bytes = self.host_bytes.saturating_add(bytes);
        while self.host_bytes >= HOST_BYTES_PER_TICK {
            self.host_bytes -= HOST_BYTES_PER_TICK;
            self.tick()?;
        }
        Ok(())
    }

    /// The guest handed over `bytes` to keep.
    pub(crate) fn output(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.output_left = self.output_left.checked_sub(bytes).ok_or(OUTPUT)?;
        Ok(())
    }

    /// Bytes that it may still hand over.
    pub(crate) fn output_left(&self) -> usize {
        self.output_left
    }

    /// The guest sends one more request over HTTP.
    ///
    /// # Errors
    /// It may not; how many it may.
    pub(crate) fn http_call(&mut self) -> Result<(), u32> {
        if self.http_calls >= self.http_calls_max {
            return Err(self.http_calls_max);
        }
        self.http_calls += 1;
        Ok(())
    }

    /// Bytes of a response that it may get.
    pub(crate) fn http_response(&self) -> usize {
        self.http_response
    }

    /// When the call's time is up.
    pub(crate) fn ends(&self) -> Instant {
        self.ends
    }
}

impl ResourceLimiter for Usage {
    /// Sums over all memories. Growing past the limit ends the guest: few allocators survive a refusal, and those that do
    /// would only spend the rest of their budget failing.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.memory_max {
            return Err(MEMORY).context("memory.grow");
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE_ELEMENTS {
            return Err(TABLE).context("table.grow");
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(memory: usize, ticks: u64) -> Usage {
        Usage::new(&Limits { memory, cpu: Duration::from_millis(ticks), ..Limits::default() })
    }

    #[test]
    fn memories_are_summed() {
        let mut usage = usage(100, 1);
        assert!(usage.memory_growing(0, 60, None).is_ok());
        assert!(usage.memory_growing(0, 41, None).is_err());
        assert!(usage.memory_growing(0, 40, None).is_ok());
        assert!(usage.memory_growing(60, 61, None).is_err());
    }

    #[test]
    fn a_call_that_has_met_a_tick_before_takes_long() {
        let limits = Limits { cpu: Duration::from_millis(3), ..Limits::default() };
        let mut usage = Usage::new(&limits);
        assert_eq!([usage.meet_tick(), usage.meet_tick()], [Ok(false), Ok(true)]);
        usage.renew(&limits);
        let met = [(); 4].map(|()| usage.meet_tick());
        assert_eq!(met, [Ok(false), Ok(true), Ok(true), Err(CPU)]);
    }

    #[test]
    fn another_call_begins_with_the_memory_that_is_there() {
        let mut usage = usage(100, 1);
        assert!(usage.memory_growing(0, 75, None).is_ok());
        assert_eq!((usage.tick(), usage.tick(), usage.output(9)), (Ok(()), Err(CPU), Ok(())));
        let limits = Limits { memory: 100, cpu: Duration::from_millis(1), ..Limits::default() };
        assert!(usage.may_continue(&limits));
        usage.renew(&limits);
        assert_eq!((usage.tick(), usage.output(limits.output)), (Ok(()), Ok(())));
        assert!(usage.memory_growing(75, 101, None).is_err());
        assert!(usage.memory_growing(75, 76, None).is_ok());
        assert!(!usage.may_continue(&limits));
    }

    #[test]
    fn work_of_the_host_counts_as_time() {
        let mut usage = usage(0, 2);
        assert_eq!(usage.host_work(HOST_BYTES_PER_TICK * 2), Ok(()));
        assert_eq!(usage.host_work(HOST_BYTES_PER_TICK - 1), Ok(()));
        assert_eq!(usage.host_work(1), Err(CPU));
    }

    #[test]
    fn output_is_summed() {
        let mut usage = usage(0, 1);
        assert_eq!(usage.output(Limits::default().output), Ok(()));
        assert_eq!(usage.output(1), Err(OUTPUT));
    }
}
