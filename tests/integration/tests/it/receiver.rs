//! A real OTLP receiver. It shows on its standard output what it gets, which is read here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};

use support::{eventually, free_port};

pub struct Receiver {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

/// A span as it was received.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty: it is a root.
    pub parent: String,
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`.
    pub kind: String,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
    /// Of the process that sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    pub fn service(&self) -> &str {
        self.attributes.get("muster.service").map_or("", |s| s)
    }

    pub fn program(&self) -> &str {
        self.resource.get("service.name").map_or("", |s| s)
    }
}

/// A metric as it was received.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    pub unit: String,
    /// `Gauge`, `Sum`, `Histogram`.
    pub kind: String,
    /// The attributes of each point that there ever was.
    pub points: BTreeSet<BTreeMap<String, String>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let program = std::env::var_os("MUSTER_OTLP_RECEIVER")
            .expect("MUSTER_OTLP_RECEIVER is not set: run the tests with ./ops/test");
        let folder = tempfile::tempdir().unwrap();
        let (port, other) = (free_port().unwrap(), free_port().unwrap());
        let output = std::fs::File::create(folder.path().join("shown")).unwrap();
        let child = Command::new(program)
            .args(["start", "--exporter", "blackhole", "--disable-batching"])
            .args(["--debug-log", "traces", "--debug-log", "metrics"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{other}")])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let receiver = Self {
            child,
            folder,
            port,
        };
        eventually("the receiver to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await
        .unwrap();
        receiver
    }

    /// What makes a program send its traces and metrics here.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            pair("MUSTER_TELEMETRY__OTLP_ENDPOINT", &endpoint),
            pair("MUSTER_TELEMETRY__METRICS_INTERVAL_SECS", "1"),
        ]
    }

    fn shown(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("shown")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Every span that was received until now.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut resource = BTreeMap::new();
        let mut part = "";
        for line in self.shown().lines() {
            if line.starts_with("ResourceSpans #") {
                resource = BTreeMap::new();
            } else if line.starts_with("Span #") {
                let resource = resource.clone();
                spans.push(Span {
                    resource,
                    ..Span::default()
                });
            }
            part = part_of(part, line);
            match (part, spans.last_mut()) {
                ("Resource attributes", _) => resource.extend(attribute(line)),
                ("Span", Some(span)) => span.read(line),
                ("Attributes", Some(span)) => span.attributes.extend(attribute(line)),
                _ => {}
            }
        }
        spans
    }

    /// Every metric that was received until now, by name.
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        let (mut name, mut point) = (String::new(), BTreeMap::new());
        let mut part = "";
        for line in self.shown().lines() {
            part = part_of(part, line);
            let told = line.trim_start().trim_start_matches("-> ");
            match (part, told.split_once(": ")) {
                ("Descriptor", Some(("Name", told))) => told.clone_into(&mut name),
                ("Descriptor", Some(("Unit", unit))) => {
                    unit.clone_into(&mut metrics.entry(name.clone()).or_default().unit);
                }
                ("Descriptor", Some(("DataType", kind))) => {
                    kind.clone_into(&mut metrics.entry(name.clone()).or_default().kind);
                }
                ("Data point attributes", _) => point.extend(attribute(line)),
                ("Point", Some(("Timestamp", _))) => {
                    let metric = metrics.entry(name.clone()).or_default();
                    metric.points.insert(std::mem::take(&mut point));
                }
                _ => {}
            }
        }
        metrics
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which part of what is shown a line begins, or goes on with.
fn part_of<'a>(before: &'a str, line: &str) -> &'a str {
    const PARTS: [(&str, &str); 9] = [
        ("Resource attributes:", "Resource attributes"),
        ("ScopeSpans #", "Scope"),
        ("ScopeMetrics #", "Scope"),
        ("Span #", "Span"),
        ("Attributes:", "Attributes"),
        ("Events:", "Events"),
        ("Descriptor:", "Descriptor"),
        ("Data point attributes:", "Data point attributes"),
        ("StartTimestamp:", "Point"),
    ];
    let begun = PARTS.iter().find(|(start, _)| line.starts_with(start));
    begun.map_or(before, |(_, part)| part)
}

/// `     -> name: Str(value)`
fn attribute(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start().strip_prefix("-> ")?.split_once(": ")?;
    let (_, value) = value.strip_suffix(')')?.split_once('(')?;
    Some((name.to_owned(), value.to_owned()))
}

impl Span {
    fn read(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim().to_owned();
        match name.trim() {
            "Trace ID" => self.trace = value,
            "Parent ID" => self.parent = value,
            "ID" => self.id = value,
            "Name" => self.name = value,
            "Kind" => self.kind = value.replace("SPAN_KIND_", ""),
            "Status code" => self.failed = value.ends_with("ERROR"),
            _ => {}
        }
    }
}
