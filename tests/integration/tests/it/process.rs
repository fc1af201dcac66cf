//! Programs of this build as processes: started with a configuration, ended by id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A program of this build.
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    // target/<profile>/deps/it-… -> target/<profile>/<name>
    let path = tests.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace --all-targets",
        path.display()
    );
    path
}

/// A process with its log, ended by id when dropped.
pub struct Process {
    pub name: String,
    config: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
}

impl Process {
    /// The part of the name before the first hyphen names the program.
    pub fn start(name: &str, config: &Path, folder: &Path) -> Self {
        Self::start_in(name, config, folder, &[])
    }

    pub fn start_in(
        name: &str,
        config: &Path,
        folder: &Path,
        environment: &[(String, String)],
    ) -> Self {
        Self {
            name: name.to_owned(),
            config: config.to_owned(),
            folder: folder.to_owned(),
            environment: environment.to_vec(),
            child: spawn(name, config, folder, environment),
        }
    }

    /// Starts it again as it was started before.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.name, &self.config, &self.folder, &self.environment);
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits for that.
    pub fn terminate(&mut self) -> ExitStatus {
        signal(self.id(), "TERM");
        self.child.wait().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    fn tell(&self) {
        let log = std::fs::read_to_string(self.folder.join(format!("{}.log", self.name)));
        let log = log.unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        eprintln!("--- {}", self.name);
        tail.iter().rev().for_each(|line| eprintln!("{line}"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.tell();
        }
    }
}

fn spawn(name: &str, config: &Path, folder: &Path, environment: &[(String, String)]) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.log")))
        .unwrap();
    Command::new(program(name.split('-').next().unwrap()))
        .arg("--config")
        .arg(config)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Sends a signal by process id.
pub fn signal(process_id: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process_id.to_string())
        .status();
}
