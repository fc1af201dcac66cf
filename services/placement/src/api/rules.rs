//! Rules: listed, made, forgotten.

use contracts::call::Context;
use contracts::placement::{Rule, Rules};
use contracts::records::Record;
use contracts::{Status, names};
use kit::records::Decision;

use super::Api;
use crate::core::rules;

impl Api {
    pub(super) fn all_rules(&self, context: &Context) -> Result<Rules, Status> {
        context.saw(Rule::BUCKET, self.store.rules.revision());
        let mut rules: Vec<Rule> = self
            .store
            .rules
            .list()?
            .into_iter()
            .map(|s| s.value)
            .collect();
        rules.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(Rules { rules })
    }

    /// Of two instances that are asked for rules which contradict each other at the same moment both may take one: each
    /// placement then finds no host and names the rules.
    pub(super) async fn make_rule(&self, context: &Context, rule: &Rule) -> Result<Rule, Status> {
        names::check_id("id", &rule.id)?;
        let mut rule = rules::complete(rule);
        let checked = self.store.look(|look| rules::check(&rule, look.fleet));
        checked.await??;
        rule.created_ms = self.store.world.now_ms();
        context.principal.clone_into(&mut rule.created_by);
        let decide = |current: Option<&kit::records::Stored<Rule>>| {
            Ok(match current {
                Some(there) => Decision::Keep(there.value.clone()),
                None => Decision::Put(rule.clone(), rule.clone()),
            })
        };
        self.store.rules.update(context, &rule.id, decide).await
    }

    pub(super) async fn forget_rule(&self, context: &Context, id: &str) -> Result<(), Status> {
        names::check_id("id", id)?;
        let decide = |current: Option<&kit::records::Stored<Rule>>| {
            Ok(match current {
                Some(_) => Decision::Delete(()),
                None => Decision::Keep(()),
            })
        };
        self.store.rules.update(context, id, decide).await
    }
}
