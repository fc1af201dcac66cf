//! Records as clients see them, as JSON, kept until they change: most are shown many times before that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::value::{RawValue, to_raw_value};

use crate::core::fields::Listed;
use crate::core::names::Names;

/// Bytes of text kept of one kind: more than twice what a fleet of 45,000 machines takes. Beyond it all is made anew.
const BYTES_MAX: usize = 64 << 20;

pub(super) struct Rendered<R>(Mutex<Texts<R>>);

struct Texts<R> {
    /// Those that the texts were made with.
    names: Weak<Names>,
    by_id: HashMap<String, Text<R>>,
    bytes: usize,
}

struct Text<R> {
    /// Which record it is of: a record that has changed is another one.
    of: Weak<R>,
    json: Arc<RawValue>,
}

impl<R> Default for Rendered<R> {
    fn default() -> Self {
        Self(Mutex::new(Texts {
            names: Weak::new(),
            by_id: HashMap::new(),
            bytes: 0,
        }))
    }
}

impl<R: Listed> Rendered<R> {
    /// Missing texts are made while others may use the rest.
    pub(super) fn of<'a>(
        &self,
        records: &'a [Arc<R>],
        names: &Arc<Names>,
    ) -> serde_json::Result<Vec<Arc<RawValue>>> {
        let known: Vec<Option<Arc<RawValue>>> = {
            let mut texts = self.lock();
            texts.keep_those_with(names);
            records.iter().map(|record| texts.known(record)).collect()
        };
        let mut made: Vec<(&Arc<R>, Arc<RawValue>)> = Vec::new();
        let mut make = |record: &'a Arc<R>| {
            let json: Arc<RawValue> = to_raw_value(&record.to_rest(names))?.into();
            made.push((record, Arc::clone(&json)));
            Ok(json)
        };
        let all = known.into_iter().zip(records);
        let all = all.map(|(known, record)| known.map_or_else(|| make(record), Ok));
        let all: serde_json::Result<_> = all.collect();
        if !made.is_empty() {
            self.lock().keep(made, names);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Texts<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Listed> Texts<R> {
    fn keep_those_with(&mut self, names: &Arc<Names>) {
        if !is_of(&self.names, names) {
            self.names = Arc::downgrade(names);
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.by_id.clear();
        self.bytes = 0;
    }

    fn known(&self, record: &Arc<R>) -> Option<Arc<RawValue>> {
        let known = self.by_id.get(record.record_id())?;
        is_of(&known.of, record).then(|| Arc::clone(&known.json))
    }

    fn keep(&mut self, made: Vec<(&Arc<R>, Arc<RawValue>)>, names: &Arc<Names>) {
        // Others have come with newer names meanwhile.
        if !is_of(&self.names, names) {
            return;
        }
        for (record, json) in made {
            self.bytes += json.get().len();
            let of = Arc::downgrade(record);
            let id = record.record_id().to_owned();
            if let Some(old) = self.by_id.insert(id, Text { of, json }) {
                self.bytes -= old.json.get().len();
            }
        }
        if self.bytes > BYTES_MAX {
            self.clear();
        }
    }
}

/// What is pointed to is not given to another as long as somebody points there.
fn is_of<T>(pointer: &Weak<T>, value: &Arc<T>) -> bool {
    std::ptr::eq(pointer.as_ptr(), Arc::as_ptr(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use contracts::inventory::Vm;
    use serde_json::Value;

    use super::*;
    use crate::core::names::tests::some_names;

    fn shown(rendered: &Rendered<Vm>, vm: &Arc<Vm>, names: &Arc<Names>) -> Value {
        let texts = rendered.of(std::slice::from_ref(vm), names).unwrap();
        serde_json::from_str(texts[0].get()).unwrap()
    }

    fn vm(name: &str) -> Arc<Vm> {
        Arc::new(Vm {
            id: "v1".to_owned(),
            name: name.to_owned(),
            host_id: "h1".to_owned(),
            ..Vm::default()
        })
    }

    #[test]
    fn a_record_is_shown_as_it_is_now_and_with_the_names_of_now() {
        let (rendered, names) = (Rendered::default(), Arc::new(some_names()));
        let old = vm("web");
        for _ in 0..2 {
            let shown = shown(&rendered, &old, &names);
            assert_eq!(shown, serde_json::to_value(old.to_rest(&names)).unwrap());
        }
        let new = vm("web-2");
        assert_eq!(shown(&rendered, &new, &names)["name"], "web-2");
        assert_eq!(shown(&rendered, &old, &names)["name"], "web");
        assert_eq!(shown(&rendered, &old, &names)["host_name"], "host-1");
        let nobody = Arc::new(Names::default());
        assert_ne!(shown(&rendered, &old, &nobody)["host_name"], "host-1");
    }

    #[test]
    fn a_text_is_made_once_for_each_state_of_a_record() {
        let (rendered, names) = (Rendered::default(), Arc::new(some_names()));
        let vms = [vm("web")];
        let [first] = &rendered.of(&vms, &names).unwrap()[..] else {
            panic!("one text for one record");
        };
        let again = rendered.of(&vms, &names).unwrap();
        assert!(Arc::ptr_eq(first, &again[0]));
        let texts = rendered.0.lock().unwrap();
        assert_eq!((texts.by_id.len(), texts.bytes), (1, first.get().len()));
    }
}
