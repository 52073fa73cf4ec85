//! A picture of the cells: four small charts with both axes logarithmic, a line for each route. SVG, written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::report::Cell;

/// One chart: its title, the axis of cells it shows, and which figure of them.
type Chart = (&'static str, &'static str, fn(&Cell) -> Option<f64>);

const CHARTS: [Chart; 4] = [
    ("calls a second, by connections", "connections", |cell| Some(cell.per_second)),
    ("CPU us a call, by connections", "connections", |cell| cell.cpu.map(|cpu| cpu * 1e3)),
    ("p50 in us, by connections", "connections", |cell| cell.latency.first().copied()),
    ("CPU us a call, by KiB of payload, 16 connections", "payload", |cell| cell.cpu.map(|cpu| cpu * 1e3)),
];

const COLOURS: [&str; 6] = ["#444444", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
/// Of one chart, its margins included.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
/// Left and below, where the numbers are; half of it right and above.
const MARGIN: f64 = 60.0;
/// From the name of one route to that of the next.
const KEY: f64 = 80.0;

/// The picture.
pub(crate) fn svg(cells: &[Cell]) -> String {
    let (width, height) = (2.0 * WIDTH, 2.0 * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, chart) in CHARTS.iter().enumerate() {
        let (x, y) = ((number % 2) as f64 * WIDTH, (number / 2) as f64 * HEIGHT);
        let _infallible = writeln!(svg, "<g transform=\"translate({x} {y})\">{}</g>", drawn(chart, cells));
    }
    svg + "</svg>\n"
}

/// Points by route, in the order in which routes were measured.
fn lines(chart: &Chart, cells: &[Cell]) -> Vec<(String, Vec<(f64, f64)>)> {
    let (_, axis, figure) = chart;
    let mut routes: Vec<String> = Vec::new();
    let mut points: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.axis == *axis) {
        if let (Ok(x), Some(y)) = (number(&cell.at).parse::<f64>(), figure(cell)) {
            if !routes.contains(&cell.route) {
                routes.push(cell.route.clone());
            }
            points.entry(cell.route.clone()).or_default().push((x, y.max(1e-3)));
        }
    }
    routes.into_iter().map(|route| (route.clone(), points.remove(&route).unwrap_or_default())).collect()
}

/// The colour of a route, the same in every chart.
fn colour(route: &str, cells: &[Cell]) -> &'static str {
    let mut routes: Vec<&str> = Vec::new();
    for cell in cells.iter().filter(|cell| CHARTS.iter().any(|(_, axis, _)| cell.axis == *axis)) {
        if !routes.contains(&cell.route.as_str()) {
            routes.push(&cell.route);
        }
    }
    let at = routes.iter().position(|known| *known == route).unwrap_or_default();
    COLOURS.iter().cycle().nth(at).copied().unwrap_or("#444444")
}

fn number(at: &str) -> &str {
    at.split(' ').next().unwrap_or_default()
}

fn drawn(chart: &Chart, cells: &[Cell]) -> String {
    let lines = lines(chart, cells);
    let all = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let (xs, ys) = (Scale::of(all().map(|(x, _)| x)), Scale::of(all().map(|(_, y)| y)));
    let across = |x: f64| MARGIN + xs.place(x) * (WIDTH - 1.5 * MARGIN);
    let up = |y: f64| HEIGHT - MARGIN / 2.0 - ys.place(y) * (HEIGHT - 1.25 * MARGIN);
    let mut svg = format!("<text x=\"{MARGIN}\" y=\"18\" font-weight=\"bold\">{}</text>", chart.0);
    for y in ys.marks() {
        let (right, y_at) = (WIDTH - MARGIN / 2.0, up(y));
        let _infallible = write!(
            svg,
            "<path d=\"M{MARGIN} {y_at:.1}H{right}\" stroke=\"#dddddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{y}</text>",
            MARGIN - 6.0,
            y_at + 4.0
        );
    }
    let mut marked: Vec<f64> = all().map(|(x, _)| x).collect();
    marked.sort_by(f64::total_cmp);
    marked.dedup();
    for x in marked {
        let (at, below) = (across(x), HEIGHT - 10.0);
        let _infallible = write!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{x}</text>");
    }
    for (number, (route, points)) in lines.iter().enumerate() {
        let colour = colour(route, cells);
        let path: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
        let key = MARGIN + KEY * number as f64;
        let _infallible = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{key}\" y=\"34\" fill=\"{colour}\">{route}</text>",
            path.join(" ")
        );
    }
    svg
}

/// A logarithmic axis from the power of ten below to the one above.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let (low, high) = (low.log10(), high.log10());
        // A little room, and never an axis without length.
        Self { low: low - 0.05, high: high.max(low + 0.3) + 0.05 }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    /// 1, 2 and 5 times powers of ten.
    fn marks(&self) -> Vec<f64> {
        let powers = (self.low.floor() as i32)..=(self.high.ceil() as i32);
        let marks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|times: f64| times * 10_f64.powi(power)));
        marks.filter(|mark| (0.0..=1.0).contains(&self.place(*mark))).collect()
    }
}

#[test]
fn a_line_for_each_route_and_nothing_without_cells() {
    let cell = |at: &str, route: &str, per_second: f64| Cell {
        axis: "connections",
        at: at.into(),
        route: route.into(),
        latency: [1.0, 2.0, 3.0],
        per_second,
        cpu: None,
        rss: None,
        disturbed: 0,
    };
    let cells = [cell("1", "direct", 100.0), cell("16", "direct", 900.0), cell("1", "relay", 50.0)];
    let picture = svg(&cells);
    assert_eq!(picture.matches("<polyline").count(), 4, "{picture}");
    assert!(!picture.contains("NaN") && picture.contains(">relay<"), "{picture}");
    assert_eq!(svg(&[]).matches("<polyline").count(), 0);
}
