//! Configuration of the performance service.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Send what each machine uses to the OTLP endpoint, as is done of each host. One fleet may have tens of thousands of
    /// machines, and each is eight time series there.
    pub export_vms: bool,
    /// Hosts and machines that are kept in memory, about 1.2 KiB each. The design point is 47,500; what is beyond is not
    /// measured, and the log says so.
    pub objects_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            export_vms: false,
            objects_max: 100_000,
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "performance";
    /// It appends nothing to a log.
    const CHECKS_BUS: bool = false;

    fn validate(&self) -> Result<(), String> {
        if self.objects_max == 0 {
            return Err("objects_max: 0 would keep nothing.".to_owned());
        }
        Ok(())
    }
}
