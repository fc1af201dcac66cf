//! As whom QEMU and its tools run: never as root where the host allows it, and never with the agent's environment.
//!
//! Tools end with the agent, however it ends: one that ran on would write into a file that the next agent makes anew. The
//! kernel sees to that, so it holds too when no agent is started again. QEMU itself lives on.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{Gid, Uid};
use tokio::process::Command;

use super::tool;
use crate::limits;

/// A user without rights of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// Runs what follows, unless the agent of the process id in between ended before the kernel was asked.
pub(super) const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// How programs are started that must not have the agent's rights.
#[derive(Clone, Debug)]
pub(super) struct Confinement {
    user: Option<User>,
    /// In words, for the host's facts.
    pub(super) description: String,
}

impl Confinement {
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::agents_own(String::new())
    }

    /// Finds what the host allows. `must_reach`: folders that QEMU has to get into.
    pub(super) async fn find(user: &str, must_reach: &[PathBuf]) -> Self {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Self::agents_own(format!("the agent's own user (uid {})", uid.as_raw()));
        }
        match Self::of_user(user, must_reach).await {
            Ok(confinement) => confinement,
            Err(why) => Self::agents_own(format!("root, because {why}")),
        }
    }

    fn agents_own(whom: String) -> Self {
        Self {
            user: None,
            description: format!("QEMU runs as {whom}, in its own sandbox."),
        }
    }

    async fn of_user(user: &str, must_reach: &[PathBuf]) -> Result<Self, String> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = find_user(&passwd, user).ok_or(format!("there is no user {user:?}"))?;
        let description = format!(
            "QEMU runs as {} (uid {}), without privileges, in its own sandbox.",
            user.name, user.uid
        );
        let confinement = Self {
            user: Some(user),
            description,
        };
        for folder in must_reach {
            confinement.check_reach(folder).await?;
        }
        Ok(confinement)
    }

    async fn check_reach(&self, folder: &Path) -> Result<(), String> {
        let mut test = self.command(Path::new("test"));
        test.arg("-x").arg(folder);
        let user = self
            .user
            .as_ref()
            .map(|u| u.name.as_str())
            .unwrap_or_default();
        match tool::run(test, limits::IMAGE_INFO_TIMEOUT).await {
            Ok(output) if output.code == Some(0) => Ok(()),
            Ok(_) => Err(format!(
                "user {user} may not enter {}; open the folders above it with chmod o+x",
                folder.display()
            )),
            Err(error) => Err(format!("setpriv cannot be run: {error}")),
        }
    }

    /// A tool under the unprivileged user, with an empty environment and no input. It is started by [`tool::spawn`] and ends
    /// with the agent. `setpriv` asks the kernel for that after it has changed the user, which would undo it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(self.setpriv_arguments())
            .args(["--pdeathsig=KILL", "--", "sh", "-c", UNLESS_ORPHANED])
            .arg(std::process::id().to_string())
            .arg(program);
        clean(&mut command);
        command
    }

    /// A program under the unprivileged user that lives on without the agent, in a session of its own: what happens to the
    /// agent's terminal or group does not reach it.
    pub(super) fn detached_command(&self, program: &Path) -> Command {
        let mut command = Command::new("setsid");
        let user = self.setpriv_arguments();
        if !user.is_empty() {
            command.arg("setpriv").args(user).arg("--");
        }
        command.arg(program);
        clean(&mut command);
        command
    }

    fn setpriv_arguments(&self) -> Vec<String> {
        let user = self.user.as_ref();
        user.map_or_else(Vec::new, |user| setpriv_arguments(user, kvm_group()))
    }

    /// A tool that looks at what we do not trust: with little memory and time.
    pub(super) fn limited_command(&self, program: &Path) -> Command {
        let memory_bytes = limits::IMAGE_TOOL_MEMORY_BYTES;
        self.limited_command_for(program, memory_bytes, limits::IMAGE_TOOL_CPU_SECS)
    }

    /// The same with as much memory and CPU time as it may take.
    pub(super) fn limited_command_for(
        &self,
        program: &Path,
        memory_bytes: u64,
        cpu_secs: u64,
    ) -> Command {
        let mut command = self.command(Path::new("prlimit"));
        command
            .arg(format!("--as={memory_bytes}"))
            .arg(format!("--cpu={cpu_secs}"))
            .arg("--core=0")
            .arg(program);
        command
    }

    /// Hands a file or folder over to the user that QEMU runs as.
    pub(super) fn hand_over(&self, path: &Path) -> std::io::Result<()> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        Ok(rustix::fs::chown(path, Some(uid), Some(gid))?)
    }

    /// Name of the user for a sentence.
    pub(super) fn user_name(&self) -> &str {
        self.user
            .as_ref()
            .map_or("the agent", |user| user.name.as_str())
    }
}

/// The agent's environment may hold secrets (a join token); messages must be in one language.
fn clean(command: &mut Command) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .current_dir("/");
}

fn setpriv_arguments(user: &User, kvm_group: Option<u32>) -> Vec<String> {
    let groups = match kvm_group {
        Some(gid) => format!("--groups={gid}"),
        None => "--clear-groups".to_owned(),
    };
    vec![
        format!("--reuid={}", user.uid),
        format!("--regid={}", user.gid),
        groups,
        "--bounding-set=-all".to_owned(),
        "--no-new-privs".to_owned(),
    ]
}

/// The group that may use KVM, unless that is root's.
fn kvm_group() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let gid = std::fs::metadata("/dev/kvm").ok()?.gid();
    (gid != 0).then_some(gid)
}

/// A user of `/etc/passwd` by name or number. Never root: that would be no confinement.
fn find_user(passwd: &str, wanted: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let user = User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
        };
        (user.uid != 0 && (name == wanted || uid == wanted)).then_some(user)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\nbad\n";

    #[test]
    fn a_user_is_found_by_name_or_number_and_is_never_root() {
        let nobody = User {
            name: "nobody".to_owned(),
            uid: 65534,
            gid: 65534,
        };
        assert_eq!(find_user(PASSWD, "nobody"), Some(nobody.clone()));
        assert_eq!(find_user(PASSWD, "65534"), Some(nobody));
        assert_eq!(find_user(PASSWD, "root"), None);
        assert_eq!(find_user(PASSWD, ""), None);
    }

    #[tokio::test]
    async fn a_tool_is_not_begun_for_an_agent_that_is_gone() {
        let confinement = Confinement::none();
        let command = confinement.command(Path::new("true"));
        let own = std::process::id().to_string();
        let mut of_another = Command::new("setpriv");
        for word in command.as_std().get_args() {
            of_another.arg(if word == own.as_str() {
                "1234567".as_ref()
            } else {
                word
            });
        }
        for (command, code) in [(command, Some(0)), (of_another, Some(1))] {
            let ran = tool::run(command, limits::IMAGE_INFO_TIMEOUT)
                .await
                .unwrap();
            assert_eq!(ran.code, code);
        }
    }

    #[test]
    fn a_program_gets_no_environment_of_the_agents() {
        let confinement = Confinement {
            user: None,
            description: String::new(),
        };
        let command = confinement.detached_command(Path::new("qemu"));
        let names: Vec<_> = command
            .as_std()
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(names, ["LC_ALL", "PATH"]);
    }
}
