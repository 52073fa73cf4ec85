//! How a cell comes about: every way to a server in turn, round by round, and medians of the rounds.

use std::rc::Rc;
use std::time::Duration;

use super::Anyhow;
use super::attached::Attached;
use super::load::{Clients, Round, Traffic};
use super::process::{Running, cpu_seconds, remark};
use super::quiet::{Look, is_disturbed};
use super::report::{Cell, Report};
use super::suite::Built;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Before a round.
    pub(crate) warm: Duration,
    /// A round.
    pub(crate) measured: Duration,
    /// Rounds of a cell.
    pub(crate) rounds: usize,
    /// How many rounds may be repeated in the whole run because they were disturbed.
    pub(crate) again: usize,
    /// Sessions that are held open.
    pub(crate) held: usize,
    /// Starts of the gateway that are timed.
    pub(crate) starts: usize,
}

impl Plan {
    /// About twenty minutes.
    pub(crate) const FULL: Self = Self {
        warm: Duration::from_millis(700),
        measured: Duration::from_secs(4),
        rounds: 3,
        again: 40,
        held: 10_000,
        starts: 15,
    };
    /// Less than three; for a first look, and to see that everything runs.
    pub(crate) const QUICK: Self = Self {
        warm: Duration::from_millis(200),
        measured: Duration::from_secs(1),
        rounds: 1,
        again: 0,
        held: 1_000,
        starts: 3,
    };
}

/// One way to a server.
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) traffic: Traffic,
    /// Whose CPU and memory it takes.
    pub(crate) pid: Option<u32>,
    /// Whether the server is none of our processes, so that nobody can say whose CPU something else takes.
    pub(crate) is_elsewhere: bool,
    /// The server's pipes, where it has no port: one client's, who makes calls of 200 bytes.
    pub(crate) attached: Option<Rc<Attached>>,
}

impl Route {
    /// To the server itself.
    pub(crate) fn direct(server: &Running, traffic: &Traffic) -> Self {
        let traffic = Traffic { port: server.port, ..traffic.clone() };
        Self { name: "direct".into(), traffic, pid: None, is_elsewhere: false, attached: None }
    }

    /// To the server itself, by its pipes.
    pub(crate) fn attached(server: &Rc<Attached>, traffic: &Traffic) -> Self {
        let traffic = traffic.clone();
        let attached = Some(Rc::clone(server));
        Self { name: "direct".into(), traffic, pid: None, is_elsewhere: false, attached }
    }

    /// Through something.
    pub(crate) fn through(name: &str, between: &Running, traffic: &Traffic) -> Self {
        let traffic = Traffic { port: between.port, ..traffic.clone() };
        Self { name: name.into(), traffic, pid: Some(between.pid()), is_elsewhere: false, attached: None }
    }
}

/// A run.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) built: Built,
    /// How many rounds may still be repeated.
    pub(crate) again: usize,
}

impl Bench {
    /// Every route in alternation; a row for each.
    pub(crate) async fn point(
        &mut self,
        axis: &'static str,
        at: String,
        routes: &[Route],
        connections: usize,
    ) -> Anyhow<()> {
        let mut samples: Vec<Vec<Sample>> = routes.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.plan.rounds {
            for (route, samples) in routes.iter().zip(&mut samples) {
                samples.push(self.round(route, connections).await?);
            }
        }
        for (route, samples) in routes.iter().zip(samples) {
            self.report.cell(cell(axis, &at, &route.name, &samples, route.pid));
        }
        Ok(())
    }

    /// One round, again when it was disturbed; the least disturbed one counts.
    async fn round(&mut self, route: &Route, connections: usize) -> Anyhow<Sample> {
        let mut best = self.once(route, connections).await?;
        for _ in 0..2 {
            if !is_disturbed(best.elsewhere) || self.again == 0 {
                break;
            }
            self.again -= 1;
            remark(&format!("disturbed ({:.0} % of a CPU), again", best.elsewhere * 100.0));
            let next = self.once(route, connections).await?;
            if next.elsewhere < best.elsewhere {
                best = next;
            }
        }
        Ok(best)
    }

    async fn once(&self, route: &Route, connections: usize) -> Anyhow<Sample> {
        Ready::make(route, connections).await?.go(self.plan.warm).await?;
        let clients = Ready::make(route, connections).await?;
        let cpu = |route: &Route| route.pid.map(cpu_seconds).transpose();
        let (look, before) = (Look::now()?, cpu(route)?);
        let round = clients.go(self.plan.measured).await?;
        let used = cpu(route)?.zip(before).map(|(after, before)| after - before);
        let elsewhere = if route.is_elsewhere { 0.0 } else { look.elsewhere()? };
        Ok(Sample { round, cpu: used, elsewhere })
    }
}

/// Clients that may begin.
enum Ready<'a> {
    Connected(Clients),
    Attached(&'a Attached),
}

impl<'a> Ready<'a> {
    async fn make(route: &'a Route, connections: usize) -> Anyhow<Self> {
        Ok(match &route.attached {
            Some(server) => Self::Attached(server),
            None => Self::Connected(Clients::connect(&route.traffic, connections).await?),
        })
    }

    async fn go(self, time: Duration) -> Anyhow<Round> {
        match self {
            Self::Connected(clients) => clients.go(time).await,
            Self::Attached(server) => server.calls(time).await,
        }
    }
}

/// What one round measured.
pub(crate) struct Sample {
    pub(crate) round: Round,
    pub(crate) cpu: Option<f64>,
    /// The share of a CPU that something else had meanwhile.
    pub(crate) elsewhere: f64,
}

/// Medians.
pub(crate) fn cell(axis: &'static str, at: &str, route: &str, samples: &[Sample], pid: Option<u32>) -> Cell {
    let of = |figure: &dyn Fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let cpu = of(&|sample| sample.cpu.map_or(f64::NAN, |cpu| cpu * 1e3 / sample.round.count()));
    let rss = pid.map(|pid| wasmgate_tests::process::resident(pid) / 1024);
    Cell {
        axis,
        at: at.into(),
        route: route.into(),
        latency: [0.5, 0.99, 0.999].map(|at| of(&|sample| sample.round.quantile(at))),
        per_second: of(&|sample| sample.round.count() / sample.round.elapsed.as_secs_f64()),
        cpu: Some(cpu).filter(|cpu| !cpu.is_nan()),
        rss,
        disturbed: samples.iter().filter(|sample| is_disturbed(sample.elsewhere)).count(),
    }
}
