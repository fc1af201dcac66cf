//! Configuration: defaults, then a file, then the environment; validated; printable.
//!
//! One file serves every program: what all share at the top, one section for each service. The environment names the
//! same keys: `MUSTER_BUS__URL`, `MUSTER_GATEWAY__LISTEN`.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What every program of Muster has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// Where stores are kept. Each service and instance has a folder below it.
    pub data_dir: PathBuf,
    /// Tells instances of one service on one machine apart.
    pub instance: String,
    pub bus: BusConfig,
    pub telemetry: TelemetryConfig,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/muster"),
            instance: "0".to_owned(),
            bus: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// Servers, separated by commas. Empty for `musterd`: it starts one of its own.
    pub url: String,
    pub user: String,
    pub password: String,
    /// Monitoring addresses (`http://host:8222`) of the servers, separated by commas: there a service sees whether they
    /// sync every write.
    pub monitor_urls: String,
    /// Copies of each bucket and stream: 3 where there are three servers.
    pub replicas: usize,
    /// Take a bus that acknowledges before it has synced, and may lose what it acknowledged.
    pub allow_unsynced: bool,
    /// How long to wait for the first connection, in seconds.
    pub connect_patience_secs: u64,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            user: String::new(),
            password: String::new(),
            monitor_urls: String::new(),
            replicas: 1,
            allow_unsynced: false,
            connect_patience_secs: 60,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What to log, as `info` or `warn,jobs=debug`.
    pub log: String,
    pub format: LogFormat,
    /// OTLP endpoint over gRPC (`http://host:4317`) for traces and metrics. Empty: none are sent.
    pub otlp_endpoint: String,
    /// How often metrics are sent, in seconds.
    pub metrics_interval_secs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::Text,
            otlp_endpoint: String::new(),
            metrics_interval_secs: 30,
        }
    }
}

/// A service's own section.
pub trait Section: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the section and of the service.
    const NAME: &'static str;

    /// Whether the service writes to the log, and so must refuse one that is not synced.
    const CHECKS_BUS: bool = true;

    /// Says what is wrong with the values, naming the key.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads a section beside others of the same file.
#[derive(Clone)]
pub struct Source(Figment);

impl Source {
    /// Defaults, then the file (if any), then the environment.
    pub fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            anyhow::ensure!(
                file.is_file(),
                "There is no configuration file {}. Give another with --config.",
                file.display()
            );
            figment = figment.merge(Toml::file_exact(file));
        }
        Ok(Self(figment.merge(Env::prefixed("MUSTER_").split("__"))))
    }

    /// What every program has.
    pub fn common(&self) -> anyhow::Result<Common> {
        let common: Common = Figment::from(Serialized::defaults(Common::default()))
            .merge(&self.0)
            .extract()
            .map_err(explain)?;
        anyhow::ensure!(
            contracts::names::is_token(&common.instance),
            "instance: {:?} must be letters, digits, hyphens and underscores.",
            common.instance
        );
        anyhow::ensure!(
            matches!(common.bus.replicas, 1 | 3 | 5),
            "bus.replicas: {} must be 1, 3 or 5.",
            common.bus.replicas
        );
        Ok(common)
    }

    /// One service's section.
    pub fn section<S: Section>(&self) -> anyhow::Result<S> {
        let section: S = Figment::from(Serialized::default(S::NAME, S::default()))
            .merge(&self.0)
            .extract_inner(S::NAME)
            .map_err(explain)?;
        section
            .validate()
            .map_err(|wrong| anyhow::anyhow!("Configuration of {}: {wrong}", S::NAME))?;
        Ok(section)
    }
}

fn explain(error: figment::Error) -> anyhow::Error {
    let lines: Vec<String> = error.into_iter().map(|e| e.to_string()).collect();
    anyhow::anyhow!("The configuration is wrong: {}.", lines.join("; "))
}

/// The configuration as a file that would give it, without secrets.
pub fn print<S: Section>(common: &Common, section: &S) -> anyhow::Result<String> {
    let mut common = common.clone();
    hide(&mut common.bus.password);
    let common = toml::to_string(&common)?;
    Ok(format!("{common}\n{}", print_section(section)?))
}

/// One service's section alone.
pub fn print_section<S: Section>(section: &S) -> anyhow::Result<String> {
    let mut own = toml::Table::try_from(section)?;
    for (key, value) in &mut own {
        let secret = ["password", "token", "secret"]
            .iter()
            .any(|word| key.contains(word));
        if let (true, toml::Value::String(text)) = (secret, value) {
            hide(text);
        }
    }
    let table = toml::Table::from_iter([(S::NAME.to_owned(), toml::Value::Table(own))]);
    Ok(toml::to_string(&table)?)
}

fn hide(secret: &mut String) {
    if !secret.is_empty() {
        "(not shown)".clone_into(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Example {
        limit: u32,
        api_token: String,
    }

    impl Section for Example {
        const NAME: &'static str = "example";

        fn validate(&self) -> Result<(), String> {
            if self.limit > 10 {
                return Err(format!("limit: {} is more than 10.", self.limit));
            }
            Ok(())
        }
    }

    fn source(text: &str) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("muster.toml");
        std::fs::write(&file, text).unwrap();
        let source = Source::new(Some(&file)).unwrap();
        (dir, source)
    }

    #[test]
    fn a_file_overrides_the_defaults_and_leaves_the_rest() {
        let (_dir, source) = source("instance = 'b'\n[bus]\nreplicas = 3\n[example]\nlimit = 4\n");
        let common = source.common().unwrap();
        assert_eq!((common.instance.as_str(), common.bus.replicas), ("b", 3));
        assert_eq!(common.telemetry.log, "info");
        assert_eq!(source.section::<Example>().unwrap().limit, 4);
    }

    #[test]
    fn an_unknown_key_and_a_wrong_value_are_refused_by_name() {
        let (_dir, unknown) = source("[example]\nlimmit = 4\n");
        let text = unknown.section::<Example>().unwrap_err().to_string();
        assert!(text.contains("limmit"), "{text}");
        let (_dir, wrong) = source("[example]\nlimit = 11\n");
        let text = wrong.section::<Example>().unwrap_err().to_string();
        assert!(text.contains("limit: 11"), "{text}");
    }

    #[test]
    fn printing_shows_no_secret() {
        let section = Example {
            api_token: "abc".to_owned(),
            ..Example::default()
        };
        let mut common = Common::default();
        common.bus.password = "xyz".to_owned();
        let text = print(&common, &section).unwrap();
        assert!(!text.contains("abc") && !text.contains("xyz"), "{text}");
        assert!(text.contains("[example]"), "{text}");
    }
}
