//! What an earlier release relies on, found again in today's descriptors: messages grow by addition only.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
    ServiceDescriptor,
};

/// One sentence for each thing that an earlier program would misunderstand.
pub(crate) fn broken(earlier: &DescriptorPool, today: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    let ours = |name: &str| name.starts_with("muster.");
    for message in earlier.all_messages().filter(|m| ours(m.full_name())) {
        match today.get_message_by_name(message.full_name()) {
            Some(now) => fields(&message, &now, &mut broken),
            None => broken.push(format!("message {} is gone", message.full_name())),
        }
    }
    for before in earlier.all_enums().filter(|e| ours(e.full_name())) {
        match today.get_enum_by_name(before.full_name()) {
            Some(now) => values(&before, &now, &mut broken),
            None => broken.push(format!("enum {} is gone", before.full_name())),
        }
    }
    for service in earlier.services() {
        match today.get_service_by_name(service.full_name()) {
            Some(now) => methods(&service, &now, &mut broken),
            None => broken.push(format!("service {} is gone", service.full_name())),
        }
    }
    broken
}

fn fields(earlier: &MessageDescriptor, today: &MessageDescriptor, broken: &mut Vec<String>) {
    for before in earlier.fields() {
        let what = format!("field {} = {}", before.full_name(), before.number());
        match today.get_field(before.number()) {
            None => broken.push(format!("{what} is gone")),
            Some(now) if now.name() != before.name() => {
                broken.push(format!("{what} is called {} now", now.name()));
            }
            Some(now) if shape(&now) != shape(&before) => broken.push(format!(
                "{what} was {} and is {}",
                shape(&before),
                shape(&now)
            )),
            Some(_) => {}
        }
    }
}

/// All that decides how a field's bytes are read.
fn shape(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        scalar => format!("{scalar:?}"),
    };
    let choice = field.containing_oneof();
    let choice = choice.map_or(String::new(), |o| format!(" in {}", o.name()));
    let presence = if field.supports_presence() {
        " that may be unset"
    } else {
        ""
    };
    format!("{:?} {kind}{choice}{presence}", field.cardinality())
}

fn values(earlier: &EnumDescriptor, today: &EnumDescriptor, broken: &mut Vec<String>) {
    for before in earlier.values() {
        let what = format!("value {} = {}", before.full_name(), before.number());
        match today.get_value(before.number()) {
            None => broken.push(format!("{what} is gone")),
            Some(now) if now.name() != before.name() => {
                broken.push(format!("{what} is called {} now", now.name()));
            }
            Some(_) => {}
        }
    }
}

fn methods(earlier: &ServiceDescriptor, today: &ServiceDescriptor, broken: &mut Vec<String>) {
    let (before, now) = (subject(earlier), subject(today));
    if before != now {
        broken.push(format!(
            "service {} moved from {before} to {now}",
            earlier.full_name()
        ));
    }
    for before in earlier.methods() {
        let name = before.full_name();
        let Some(now) = today.methods().find(|m| m.name() == before.name()) else {
            broken.push(format!("method {name} is gone"));
            continue;
        };
        for (what, before, now) in [
            ("takes", before.input(), now.input()),
            ("answers", before.output(), now.output()),
        ] {
            if before.full_name() != now.full_name() {
                broken.push(format!(
                    "method {name} {what} {} instead of {}",
                    now.full_name(),
                    before.full_name()
                ));
            }
        }
    }
}

fn subject(service: &ServiceDescriptor) -> String {
    let options = service.options();
    let pool = options.descriptor().parent_pool().clone();
    let subject = pool
        .get_extension_by_name("muster.options.v1.subject")
        .unwrap();
    options.get_extension(&subject).as_str().unwrap().to_owned()
}

/// Today's descriptors with one thing changed, as a careless hand would.
fn with(change: impl Fn(&mut prost_types::FileDescriptorProto)) -> Vec<String> {
    let today = contracts::diff::pool();
    let mut files: Vec<_> = today.file_descriptor_protos().cloned().collect();
    for file in &mut files {
        // Options of our own are not among what this type of a file knows.
        if file.name().ends_with("common.proto") {
            change(file);
        }
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files).unwrap();
    let ours = |m: &MessageDescriptor| m.full_name().starts_with("muster.common");
    let mut broken = Vec::new();
    for message in today.all_messages().filter(ours) {
        match pool.get_message_by_name(message.full_name()) {
            Some(now) => fields(&message, &now, &mut broken),
            None => broken.push(format!("message {} is gone", message.full_name())),
        }
    }
    for before in today.all_enums() {
        match pool.get_enum_by_name(before.full_name()) {
            Some(now) => values(&before, &now, &mut broken),
            None => broken.push(format!("enum {} is gone", before.full_name())),
        }
    }
    broken
}

fn message<'a>(
    file: &'a mut prost_types::FileDescriptorProto,
    name: &str,
) -> &'a mut prost_types::DescriptorProto {
    let mut messages = file.message_type.iter_mut();
    messages.find(|m| m.name() == name).unwrap()
}

#[test]
fn each_way_to_break_an_earlier_program_is_seen() {
    type Change = fn(&mut prost_types::FileDescriptorProto);
    let cases: [(Change, &str); 7] = [
        (|_| {}, ""),
        (
            |file| drop(message(file, "ObjectRef").field.remove(2)),
            "ObjectRef.name = 3 is gone",
        ),
        (
            |file| message(file, "ObjectRef").field[2].number = Some(4),
            "ObjectRef.name = 3 is gone",
        ),
        (
            |file| message(file, "ObjectRef").field[2].name = Some("title".to_owned()),
            "is called title now",
        ),
        (
            |file| {
                message(file, "ObjectRef").field[2]
                    .set_type(prost_types::field_descriptor_proto::Type::Bytes);
            },
            "was Optional string and is Optional bytes",
        ),
        (
            |file| {
                message(file, "ObjectRef").field[2]
                    .set_label(prost_types::field_descriptor_proto::Label::Repeated);
            },
            "and is Repeated string",
        ),
        (
            |file| file.enum_type[0].value[1].number = Some(2),
            "CODE_CANCELLED = 1 is gone",
        ),
    ];
    for (change, said) in cases {
        let broken = with(change);
        match said {
            "" => assert_eq!(broken, Vec::<String>::new()),
            said => assert!(
                broken.len() == 1 && broken[0].contains(said),
                "{said}: {broken:?}"
            ),
        }
    }
}
