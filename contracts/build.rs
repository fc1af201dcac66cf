//! Generates the messages, and for every `service` block a typed client, a trait to serve and the table of
//! its methods; and a way to read and write any message by its name. Needs no `protoc`.

// A build that cannot go on should say where.
#![allow(clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, ServiceDescriptor, Value,
};

const PROTO_ROOT: &str = "proto";

fn main() {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let mut files = Vec::new();
    collect_protos(Path::new(PROTO_ROOT), &mut files);
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO_ROOT]).expect("proto root is readable");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files).expect("protos compile");
    let encoded = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("descriptors.bin"), &encoded).expect("descriptors are written");

    let pool = DescriptorPool::decode(encoded.as_slice()).expect("descriptors decode");
    fs::write(out.join("messages.rs"), messages(&pool)).expect("code is written");
    prost_build::Config::new()
        .btree_map(["."])
        .bytes([".muster.common.v1.Event"])
        .enable_type_names()
        .include_file("packages.rs")
        .service_generator(Box::new(Generator { pool }))
        .compile_fds(compiler.file_descriptor_set())
        .expect("code is generated");
}

fn collect_protos(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("proto folder is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            collect_protos(&path, into);
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
}

/// A function that takes any message of ours through the code of its type.
fn messages(pool: &DescriptorPool) -> String {
    let mut arms = String::new();
    let ours = |m: &MessageDescriptor| m.full_name().starts_with("muster.") && !m.is_map_entry();
    for message in pool.all_messages().filter(ours) {
        assert!(
            message.parent_message().is_none(),
            "{} is declared in another message: say here how its type is called",
            message.full_name()
        );
        let path = message.full_name().replace('.', "::");
        writeln!(
            arms,
            "        {:?} => recode_as::<crate::generated::{path}>(bytes),",
            message.full_name()
        )
        .expect("writing to a string");
    }
    format!(
        "/// Reads a message of the type of that name, and writes what was read. `None`: there is no such type.\n\
         pub fn recode(full_name: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, prost::DecodeError>> {{\n    \
             Some(match full_name {{\n{arms}        _ => return None,\n    }})\n}}\n"
    )
}

struct Generator {
    pool: DescriptorPool,
}

impl prost_build::ServiceGenerator for Generator {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let full_name = format!("{}.{}", service.package, service.proto_name);
        let descriptor = self
            .pool
            .get_service_by_name(&full_name)
            .expect("service is in the pool");
        emit_table(&service, &descriptor, buf);
        emit_trait(&service, buf);
        emit_server(&service, buf);
        emit_client(&service, &descriptor, buf);
    }
}

fn extension(options: &DynamicMessage, name: &str) -> Value {
    let pool = options.descriptor().parent_pool().clone();
    let extension = pool
        .get_extension_by_name(&format!("muster.options.v1.{name}"))
        .unwrap_or_else(|| panic!("option {name} is declared"));
    options.get_extension(&extension).into_owned()
}

fn table_name(service: &prost_build::Service) -> String {
    service.name.to_uppercase()
}

fn service_subject(descriptor: &ServiceDescriptor) -> String {
    match extension(&descriptor.options(), "subject") {
        Value::String(s) if !s.is_empty() => s,
        _ => panic!("{} has no subject", descriptor.full_name()),
    }
}

fn emit_table(service: &prost_build::Service, descriptor: &ServiceDescriptor, buf: &mut String) {
    let mut methods = String::new();
    for method in descriptor.methods() {
        let options = method.options();
        let callers: Vec<String> = extension(&options, "callers")
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|v| v.as_str().map(|s| format!("{s:?}")))
            .collect();
        let timeout_ms = extension(&options, "timeout_ms").as_u32().unwrap_or(0);
        writeln!(
            methods,
            "    crate::call::Method {{ service: {:?}, name: {:?}, timeout_ms: {timeout_ms}, callers: &[{}] }},",
            service.name,
            method.name(),
            callers.join(", "),
        )
        .expect("writing to a string");
    }
    writeln!(
        buf,
        "/// The methods of [`{name}`], with who may call them.\n\
         pub static {table}: crate::call::Service = crate::call::Service {{\n  name: {name:?},\n  subject: {subject:?},\n  methods: &[\n{methods}  ],\n}};",
        name = service.name,
        table = table_name(service),
        subject = service_subject(descriptor),
    )
    .expect("writing to a string");
}

fn doc(comments: &prost_build::Comments, indent: &str) -> String {
    comments
        .leading
        .iter()
        .map(|line| format!("{indent}///{}\n", line.trim_end()))
        .collect()
}

fn emit_trait(service: &prost_build::Service, buf: &mut String) {
    writeln!(
        buf,
        "{}#[async_trait::async_trait]\npub trait {}: Send + Sync + 'static {{",
        doc(&service.comments, ""),
        service.name
    )
    .expect("writing to a string");
    for m in &service.methods {
        writeln!(
            buf,
            "{}    async fn {}(&self, context: &crate::call::Context, request: {}) -> Result<{}, crate::Status>;",
            doc(&m.comments, "    "),
            m.name,
            m.input_type,
            m.output_type
        )
        .expect("writing to a string");
    }
    buf.push_str("}\n");
}

fn emit_server(service: &prost_build::Service, buf: &mut String) {
    let name = &service.name;
    let mut arms = String::new();
    for m in &service.methods {
        writeln!(
            arms,
            "            {:?} => {{\n                let request = crate::call::decode::<{}>(payload)?;\n                let answer = self.0.{}(context, request).await?;\n                Ok(prost::Message::encode_to_vec(&answer))\n            }}",
            m.proto_name, m.input_type, m.name
        )
        .expect("writing to a string");
    }
    writeln!(
        buf,
        "/// Serves a [`{name}`]: decodes, calls, encodes.\n\
         pub struct {name}Server<T>(pub std::sync::Arc<T>);\n\n\
         #[async_trait::async_trait]\n\
         impl<T: {name}> crate::call::Serve for {name}Server<T> {{\n\
             fn service(&self) -> &'static crate::call::Service {{ &{table} }}\n\n\
             async fn dispatch(&self, method: &str, context: &crate::call::Context, payload: &[u8]) -> Result<Vec<u8>, crate::Status> {{\n\
                 match method {{\n{arms}\
                     other => Err(crate::call::unknown_method({name:?}, other)),\n\
                 }}\n\
             }}\n\
         }}",
        table = table_name(service),
    )
    .expect("writing to a string");
}

fn emit_client(service: &prost_build::Service, descriptor: &ServiceDescriptor, buf: &mut String) {
    let name = &service.name;
    let table = table_name(service);
    let subject = service_subject(descriptor);
    let (argument, subject) = if subject.contains("{host_id}") {
        (
            ", host_id: &str",
            format!("{table}.subject_of_host(host_id)"),
        )
    } else if subject.contains("{service}") {
        (
            ", service: &str",
            format!("{table}.subject_of_service(service)"),
        )
    } else {
        ("", format!("{table}.subject.to_owned()"))
    };
    writeln!(
        buf,
        "/// Calls a [`{name}`] over the bus.\n\
         #[derive(Clone)]\n\
         pub struct {name}Client {{\n    caller: std::sync::Arc<dyn crate::call::Call>,\n    subject: String,\n}}\n\n\
         impl {name}Client {{\n\
             pub fn new(caller: std::sync::Arc<dyn crate::call::Call>{argument}) -> Self {{\n\
                 Self {{ caller, subject: {subject} }}\n\
             }}"
    )
    .expect("writing to a string");
    for (index, m) in service.methods.iter().enumerate() {
        writeln!(
            buf,
            "{}    pub async fn {}(&self, context: &crate::call::Context, request: &{}) -> Result<{}, crate::Status> {{\n\
                     crate::call::call(&*self.caller, &{table}.methods[{index}], &self.subject, context, request).await\n\
                 }}",
            doc(&m.comments, "    "),
            m.name,
            m.input_type,
            m.output_type
        )
        .expect("writing to a string");
    }
    buf.push_str("}\n");
}
