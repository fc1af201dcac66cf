//! The document says what is served, no more and no less.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::fleet::{Fleet, answer};

const METHODS: [&str; 6] = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"];

/// Methods of one path in the document; HEAD comes with GET.
fn documented(item: &Value) -> BTreeSet<String> {
    let mut methods: BTreeSet<String> = item
        .as_object()
        .unwrap()
        .keys()
        .map(|method| method.to_uppercase())
        .filter(|method| METHODS.contains(&method.as_str()))
        .collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods
}

#[tokio::test]
async fn every_documented_path_is_served_with_exactly_its_methods() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    let document = gateway.get("/api/v1/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        let trace = answer(gateway.ask(Method::TRACE, &path)).await;
        assert_eq!(trace.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let served = trace
            .header("allow")
            .split(',')
            .map(str::to_owned)
            .collect();
        assert_eq!(documented(item), served, "{path}");
    }
}

#[tokio::test]
async fn every_operation_says_what_it_answers_and_how_it_fails() {
    let document: Value = serde_json::from_str(&gateway::openapi_json()).unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{method} {path}"
            );
            let fails = &responses.get("default").unwrap_or(&Value::Null)["content"];
            let may_fail = !["healthz", "openapi", "get_descriptors"].contains(&id);
            assert_eq!(
                fails["application/problem+json"].is_object(),
                may_fail,
                "{id}"
            );
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&gateway::openapi_json()).unwrap();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}
