//! `docs/openapi.json` says what the daemon answers: every path, every key.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::sandbox::Sandbox;

#[test]
fn every_route_is_described_and_nothing_else() {
    let described: BTreeSet<(String, bool, bool)> = paths()
        .iter()
        .map(|(path, methods)| (path.clone(), methods.get("get").is_some(), methods.get("post").is_some()))
        .collect();
    let source = include_str!("../../src/serve/routes.rs");
    let routed = source.split(".route(\"").skip(1).map(|route| {
        let (path, rest) = route.split_once('"').unwrap();
        let methods = rest.split('\n').next().unwrap();
        (path.to_owned(), methods.contains("get("), methods.contains("post("))
    });
    assert_eq!(described, routed.collect());
}

#[test]
fn every_answer_has_the_keys_that_are_described() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &["--slots=0"]);
    daemon.submit("job", &["--gpus=1"], "touch up; while test ! -e go; do sleep 0.05; done; exit 3");
    sandbox.await_file("up");
    daemon.submit("waits", &["--gpus=1"], "exit 0");
    let check = |path: &str, asked: &str| {
        let answer = daemon.get(asked);
        let schema = &paths()[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        conforms(&answer, schema, path);
    };
    check("/v1/status", "/v1/status");
    check("/v1/slots", "/v1/slots");
    check("/v1/jobs", "/v1/jobs?all=true");
    check("/v1/jobs/{job}", "/v1/jobs/job");
    check("/v1/jobs/{job}/tasks", "/v1/jobs/waits/tasks");
    check("/v1/jobs/{job}/tasks/{task}", "/v1/jobs/job/tasks/sh");
    check("/v1/jobs/{job}/results", "/v1/jobs/job/results");
    check("/v1/jobs/{job}/wait", "/v1/jobs/waits/wait?timeout_ms=1");
    sandbox.write("go", "");
    check("/v1/jobs/{job}/wait", "/v1/jobs/waits/wait?task=sh");
    check("/v1/dead-letters", "/v1/dead-letters");
    check("/v1/jobs/{job}/results", "/v1/jobs/job/results");
    assert_eq!(daemon.get("/v1/dead-letters").as_array().unwrap().len(), 1);
    let schema = &document()["components"]["schemas"]["Error"];
    conforms(&daemon.get("/v1/jobs/nowhere"), schema, "an error");
}

#[test]
fn every_change_is_answered_with_the_keys_that_are_described() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let check = |path: &str, asked: &str, body: &str, status: &str| {
        let answer = daemon.post(asked, body);
        let schema = &paths()[path]["post"]["responses"][status]["content"]["application/json"]["schema"];
        conforms(&answer, schema, path);
        answer
    };
    let spec = r#"{"job_id": "job", "command": ["sh", "-c", "exit 3"], "script": true, "open": true}"#;
    let task = |id: &str| format!(r#"{{"task_id": "{id}", "model_name": "m"}}"#);
    let submitted = format!(r#"{{"spec": {spec}, "tasks": [{}]}}"#, task("a"));
    let [first, again] = [(), ()].map(|()| check("/v1/jobs", "/v1/jobs", &submitted, "201"));
    assert_eq!(first, again);
    let more = format!(r#"{{"tasks": [{}, {}]}}"#, task("a"), task("b"));
    let added = check("/v1/jobs/{job}/tasks", "/v1/jobs/job/tasks", &more, "200");
    assert_eq!((&added["added"], &added["existing"]), (&1.into(), &1.into()));
    check("/v1/jobs/{job}/close", "/v1/jobs/job/close", "{}", "200");
    daemon.get("/v1/jobs/job/wait");
    assert_eq!(check("/v1/jobs/{job}/retry", "/v1/jobs/job/retry", "{}", "200")["requeued"], 2);
    check("/v1/jobs/{job}/stop", "/v1/jobs/job/stop", r#"{"kill": true}"#, "200");
    let path = "/v1/jobs/{job}/tasks/{task}/stack";
    let schema = &paths()[path]["post"]["responses"]["default"]["content"]["application/json"]["schema"];
    conforms(&daemon.post("/v1/jobs/job/tasks/a/stack", "{}"), schema, path);
}

impl Daemon<'_> {
    fn get(&self, path: &str) -> Value {
        let answer =
            self.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    fn post(&self, path: &str, body: &str) -> Value {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        let request = format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        let answer = self.raw(request.as_bytes());
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }
}

/// Enough of JSON Schema for the document: types, required and no other keys.
#[track_caller]
fn conforms(value: &Value, schema: &Value, place: &str) {
    let document = document();
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a schema"),
        None => schema,
    };
    match schema["type"].as_str().unwrap_or_else(|| panic!("{place}: no type in {schema}")) {
        "object" => {
            let object = value.as_object().unwrap_or_else(|| panic!("{place}: {value} is no object"));
            if schema["additionalProperties"] == true {
                return;
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    object.contains_key(required.as_str().unwrap()),
                    "{place}: {required} is missing in {value}"
                );
            }
            for (key, value) in object {
                let property = &schema["properties"][key];
                assert!(!property.is_null(), "{place}: {key} is not described");
                conforms(value, property, &format!("{place}.{key}"));
            }
        }
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{place}: {value} is no array"));
            items.iter().for_each(|item| conforms(item, &schema["items"], &format!("{place}[]")));
        }
        "string" => assert!(value.is_string(), "{place}: {value}"),
        "integer" => assert!(value.is_i64() || value.is_u64(), "{place}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{place}: {value}"),
        other => panic!("{place}: type {other}"),
    }
}

fn paths() -> serde_json::Map<String, Value> {
    document()["paths"].as_object().unwrap().clone()
}

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap()
}
