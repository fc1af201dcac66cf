//! Others that move a file over a network: a server and a client, each from its Debian package.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use support::free_port;

use super::Move;
use crate::PATIENCE;
use crate::kernel::{self, loopback_bytes};

/// Between two looks whether a server listens; nothing that is measured hangs on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) encrypted: bool,
    programs: &'static [&'static str],
    packages: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Nbd,
    NbdTls,
    Https,
    Rsync,
    Scp,
}

pub(super) const PEERS: [Peer; 5] = [
    Peer {
        name: "nbdcopy from nbdkit, plain",
        encrypted: false,
        programs: &["nbdkit", "nbdcopy"],
        packages: "apt install nbdkit libnbd-bin",
        kind: Kind::Nbd,
    },
    Peer {
        name: "nbdcopy from nbdkit, TLS 1.3",
        encrypted: true,
        programs: &["nbdkit", "nbdcopy"],
        packages: "apt install nbdkit libnbd-bin",
        kind: Kind::NbdTls,
    },
    Peer {
        name: "curl from nginx, TLS 1.3",
        encrypted: true,
        programs: &["nginx", "curl", "openssl"],
        packages: "apt install nginx-light curl openssl",
        kind: Kind::Https,
    },
    Peer {
        name: "rsync over ssh",
        encrypted: true,
        programs: &["rsync", "sshd", "ssh-keygen"],
        packages: "apt install rsync openssh-server",
        kind: Kind::Rsync,
    },
    Peer {
        name: "scp",
        encrypted: true,
        programs: &["scp", "sshd", "ssh-keygen"],
        packages: "apt install openssh-server",
        kind: Kind::Scp,
    },
];

impl Peer {
    fn is_here(&self) -> bool {
        self.programs.iter().all(|program| find(program).is_some())
    }

    /// How it comes here.
    pub(super) fn missing(&self) -> &'static str {
        self.packages
    }
}

/// Where a program is; servers are not on everybody's path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut files = folders.map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}

/// What they need: keys, configurations, and the file.
pub(super) struct Peers {
    folder: PathBuf,
    source: PathBuf,
}

/// Ended, and waited for, when dropped.
struct Server(Child);

impl Peers {
    pub(super) fn set_up(folder: PathBuf, source: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::write(
            folder.join("keys.psk"),
            format!("muster:{}\n", "5a".repeat(32)),
        )?;
        let peers = Self { folder, source };
        if find("openssl").is_some() {
            let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
            done(
                peers
                    .command("openssl")
                    .args(line.split(' '))
                    .args(["-addext", "subjectAltName=DNS:localhost"])
                    .args(["-keyout", "key.pem", "-out", "cert.pem"]),
            )?;
        }
        if find("ssh-keygen").is_some() {
            for key in ["host_key", "user_key"] {
                done(
                    peers
                        .command("ssh-keygen")
                        .args(["-q", "-t", "ed25519", "-N", "", "-f", key]),
                )?;
            }
            fs::copy(peers.path("user_key.pub"), peers.path("authorized_keys"))?;
        }
        Ok(peers)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Moves the file once. `None`: a program is not here.
    pub(super) fn run(&self, peer: &Peer) -> anyhow::Result<Option<Move>> {
        if !peer.is_here() {
            return Ok(None);
        }
        let target = self.path("target.raw");
        let (wire, cpu) = (loopback_bytes()?, kernel::times("self")?.children);
        let port = free_port()?;
        let server = self.start(self.server(peer.kind, port)?, port)?;
        let begun = Instant::now();
        done(&mut self.client(peer.kind, port, &target)).with_context(|| peer.name)?;
        File::open(&target)?.sync_all()?;
        let took = begun.elapsed();
        drop(server);
        ensure!(
            fs::metadata(&target)?.len() == fs::metadata(&self.source)?.len(),
            "{} made another file",
            peer.name
        );
        fs::remove_file(&target)?;
        Ok(Some(Move {
            took,
            cpu: kernel::times("self")?.children.saturating_sub(cpu),
            wire_bytes: loopback_bytes()? - wire,
        }))
    }

    /// Starts a server, and comes back when it listens.
    fn start(&self, mut command: Command, port: u16) -> anyhow::Result<Server> {
        let log = self.path("server.log");
        let mut server = Server(command.stderr(File::create(&log)?).spawn()?);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let program = command.get_program();
            if let Some(status) = server.0.try_wait()? {
                let said = fs::read_to_string(log)?;
                bail!("{program:?} has ended: {status}: {said}");
            }
            ensure!(begun.elapsed() < PATIENCE, "{program:?} does not listen");
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(server)
    }

    fn server(&self, kind: Kind, port: u16) -> anyhow::Result<Command> {
        let port = port.to_string();
        Ok(match kind {
            Kind::Nbd | Kind::NbdTls => {
                let mut command = self.command("nbdkit");
                command.args(["-f", "-r", "-i", "127.0.0.1", "-p", &port]);
                if matches!(kind, Kind::NbdTls) {
                    command
                        .arg("--tls=require")
                        .arg(format!("--tls-psk={}", self.path("keys.psk").display()));
                }
                command.arg("file").arg(&self.source);
                command
            }
            Kind::Https => {
                fs::write(self.path("nginx.conf"), self.nginx(&port))?;
                let mut command = self.command("nginx");
                command
                    .arg("-p")
                    .arg(&self.folder)
                    .arg("-c")
                    .arg(self.path("nginx.conf"));
                command.arg("-e").arg(self.path("nginx.log"));
                command
            }
            Kind::Rsync | Kind::Scp => {
                let config = format!(
                    "Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {keys}\nStrictModes no\n\
                     UsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
                    host_key = self.path("host_key").display(),
                    keys = self.path("authorized_keys").display(),
                );
                fs::write(self.path("sshd.conf"), config)?;
                let mut command = self.command("sshd");
                command.arg("-D").arg("-f").arg(self.path("sshd.conf"));
                command
            }
        })
    }

    fn nginx(&self, port: &str) -> String {
        format!(
            "daemon off; master_process off; pid nginx.pid; events {{}}\n\
             http {{ access_log off; sendfile on; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;\n\
             uwsgi_temp_path tmp; scgi_temp_path tmp;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; ssl_certificate cert.pem;\n\
             ssl_certificate_key key.pem; root {root}; }} }}\n",
            root = self.source.parent().unwrap_or(Path::new("/")).display(),
        )
    }

    fn client(&self, kind: Kind, port: u16, target: &Path) -> Command {
        let source = self.source.display();
        let ssh = format!(
            "-p {port} -i {} -c aes128-gcm@openssh.com -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            self.path("user_key").display()
        );
        match kind {
            Kind::Nbd => {
                let mut command = self.command("nbdcopy");
                command
                    .arg("--flush")
                    .arg(format!("nbd://127.0.0.1:{port}"))
                    .arg(target);
                command
            }
            Kind::NbdTls => {
                let mut command = self.command("nbdcopy");
                let keys = self.path("keys.psk");
                let address = format!(
                    "nbds://muster@127.0.0.1:{port}/?tls-psk-file={}",
                    keys.display()
                );
                command.arg("--flush").arg(address).arg(target);
                command
            }
            Kind::Https => {
                let name = self
                    .source
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                let mut command = self.command("curl");
                command
                    .args(["--silent", "--fail", "--cacert", "cert.pem", "--output"])
                    .arg(target);
                command
                    .arg("--resolve")
                    .arg(format!("localhost:{port}:127.0.0.1"));
                command.arg(format!("https://localhost:{port}/{name}"));
                command
            }
            Kind::Rsync => {
                let mut command = self.command("rsync");
                command
                    .args(["--whole-file", "--sparse", "-e"])
                    .arg(format!("ssh {ssh}"));
                command.arg(format!("127.0.0.1:{source}")).arg(target);
                command
            }
            Kind::Scp => {
                let mut command = self.command("scp");
                command.arg("-q").args(ssh.replace("-p ", "-P ").split(' '));
                command.arg(format!("127.0.0.1:{source}")).arg(target);
                command
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::TERM,
        );
        let _ = self.0.wait();
    }
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let ended = command.stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{command:?} has failed: {said}");
    Ok(())
}
