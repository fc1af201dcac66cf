//! `muster placement rule`.

use clap::{Args, Subcommand, ValueEnum};
use contracts::rest::{AddRule, Bond, Level, Rule, Rules, Strength};
use reqwest::Method;

use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::commands::{Session, tell};
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Column, Format, Output};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a rule, unless it contradicts those that there are
    Add(Box<AddArgs>),
    /// List rules
    #[command(visible_alias = "ls")]
    List,
    /// Forget a rule; machines stay where they are
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Name of the rule
    name: String,
    /// What it asks for
    #[arg(value_enum)]
    bond: BondArg,
    /// A machine, by name or id; can be given several times
    #[arg(long)]
    vm: Vec<String>,
    /// Machines with this tag, now and later
    #[arg(long, value_name = "TAG")]
    vm_tag: Option<String>,
    /// A host, by name or id, for on and not-on; can be given several times
    #[arg(long)]
    host: Vec<String>,
    /// Hosts with this tag, now and later
    #[arg(long, value_name = "TAG")]
    host_tag: Option<String>,
    /// How wide the domain is, for together and apart
    #[arg(long, value_enum, default_value_t = LevelArg::Host)]
    level: LevelArg,
    /// A host that breaks it loses stars, not all of them
    #[arg(long)]
    should: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BondArg {
    Together,
    Apart,
    On,
    NotOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LevelArg {
    Host,
    Rack,
    Room,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name or id of the rule
    #[arg(value_parser = values::object)]
    rule: String,
}

const COLUMNS: [Column<Rule>; 6] = [
    Column::always("name", |r, _| r.name.as_str().into()),
    Column::always("strength", |r, _| r.strength.word().into()),
    Column::always("bond", |r, _| r.bond.word().into()),
    Column::always("machines", |r, _| {
        named(&r.vm_ids, r.vm_tag.as_deref()).into()
    }),
    Column::always("hosts", |r, _| {
        named(&r.host_ids, r.host_tag.as_deref()).into()
    }),
    Column::always("level", |r, _| r.level.word().into()),
];

fn named(ids: &[String], tag: Option<&str>) -> String {
    let tag = tag.map(|tag| format!("tag {tag}"));
    let all: Vec<String> = ids.iter().cloned().chain(tag).collect();
    all.join(", ")
}

pub(super) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Add(args) => {
            let request = Request::change(Method::POST, &["placement", "rules"]);
            let request = request.body(&args.request())?;
            let value = session.client.send(request).await?.value()?;
            tell(session, "rule", &value, describe)
        }
        Command::List => list(session).await,
        Command::Remove(args) => {
            let segments = ["placement", "rules", &args.rule];
            let request = Request::change(Method::DELETE, &segments);
            let value = session.client.send(request).await?.value()?;
            tell(session, "rule", &value, describe)
        }
    }
}

impl AddArgs {
    fn request(&self) -> AddRule {
        AddRule {
            name: self.name.clone(),
            bond: match self.bond {
                BondArg::Together => Bond::Together,
                BondArg::Apart => Bond::Apart,
                BondArg::On => Bond::On,
                BondArg::NotOn => Bond::NotOn,
            },
            strength: if self.should {
                Strength::Should
            } else {
                Strength::Must
            },
            level: match self.level {
                LevelArg::Host => Level::Host,
                LevelArg::Rack => Level::Rack,
                LevelArg::Room => Level::Room,
            },
            vms: self.vm.clone(),
            vm_tag: self.vm_tag.clone(),
            hosts: self.host.clone(),
            host_tag: self.host_tag.clone(),
        }
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let request = Request::get(&["placement", "rules"]);
    let value = session.client.send(request).await?.value()?;
    let output = &session.output;
    if matches!(output.format, Format::Json | Format::Yaml) {
        output.print_value(&value)?;
        return Ok(Exit::Done);
    }
    let Rules { rules } = serde_json::from_value(value).map_err(not_understood)?;
    if rules.is_empty() {
        remark(session, "There are no rules.");
    } else if output.format == Format::Name {
        let lines = rules.iter().map(|rule| format!("rule/{}\n", rule.name));
        output.print(&lines.collect::<String>())?;
    } else {
        let columns: Vec<_> = COLUMNS.iter().collect();
        output.print(&output.table(&columns, &rules))?;
    }
    Ok(Exit::Done)
}

fn describe(rule: &Rule, _: &Output) -> String {
    Detail::default()
        .line("Rule", &rule.name)
        .line("Id", &rule.id)
        .line("Asks", format!("{} {}", rule.strength, rule.bond))
        .line("Machines", named(&rule.vm_ids, rule.vm_tag.as_deref()))
        .line("Hosts", named(&rule.host_ids, rule.host_tag.as_deref()))
        .line("Level", rule.level.word())
        .render()
}
