//! The description of the HTTP API, made from the types that it answers with. `docs/reference` has
//! it as a file, which a test compares.

use preheat_api::v1::{
    Controls, Decision, DecisionLog, Error, Fleet, History, Pool, Simulation, SimulationRequest,
};
use preheat_compare::backtest::PastFigures;
use preheat_compare::what_if::{WhatIfAnswer, WhatIfChoices, WhatIfRequest};
use preheat_lab::{Answered, Lesson, SizingRequest};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

/// The document, in OpenAPI 3.1.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut requests = settings.clone().for_deserialize().into_generator();
    let mut schemas = settings.for_serialize().into_generator();
    let paths = paths(&mut schemas, &mut requests);
    let mut definitions = schemas.take_definitions(true);
    definitions.extend(requests.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "preheat",
            "version": "1",
            "description": "What preheat's pools are doing, did, and why, and simulations beside them. Only \
                controls change what is scaled. Moments are \
                seconds of model time since the world's origin, durations seconds of model time, \
                ratios 0 to 1; what is not known is null. Fields may be added within a version.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    })
}

fn paths(schemas: &mut SchemaGenerator, requests: &mut SchemaGenerator) -> Value {
    let pool = json!({
        "name": "pool", "in": "path", "required": true, "schema": {"type": "string"},
    });
    let query = |name: &str, is_required: bool, kind: &str, what: &str| {
        json!({
            "name": name, "in": "query", "required": is_required, "description": what,
            "schema": {"type": kind},
        })
    };
    let refusal = body::<Error>(schemas, "Why there is no answer");
    let get = |summary: &str, parameters: Vec<Value>, answer: Value| {
        json!({"get": {
            "summary": summary,
            "parameters": parameters,
            "responses": {"200": answer, "default": refusal.clone()},
        }})
    };
    let mut paths = json!({
        "/api/v1/fleet": get("Every pool in a line", vec![], body::<Fleet>(schemas, "The fleet")),
        "/api/v1/events": get(
            "The fleet whenever it changes, at most once a second",
            vec![],
            events("`fleet` events, each a Fleet"),
        ),
        "/api/v1/pools/{pool}": get(
            "One pool with its replicas",
            vec![pool.clone()],
            body::<Pool>(schemas, "The pool"),
        ),
        "/api/v1/pools/{pool}/history": get(
            "What happened, in at most about `points` steps of equal width",
            vec![
                pool.clone(),
                query("from_s", true, "number", "From this moment"),
                query("until_s", true, "number", "Until this moment, at most a year later"),
                query("points", false, "integer", "About so many steps; 600 unless given, at most 2000"),
            ],
            body::<History>(schemas, "The history"),
        ),
        "/api/v1/pools/{pool}/decisions": get(
            "Decisions at which something was done, newest first",
            vec![
                pool.clone(),
                query("before", false, "integer", "Only those with a lower number"),
                query("limit", false, "integer", "At most so many; 50 unless given, at most 200"),
                query("all", false, "boolean", "Those at which nothing was done as well"),
            ],
            body::<DecisionLog>(schemas, "The log"),
        ),
        "/api/v1/pools/{pool}/decisions/{seq}": get(
            "One decision with every number that led to it",
            vec![
                pool.clone(),
                json!({
                    "name": "seq", "in": "path", "required": true, "schema": {"type": "integer"},
                }),
            ],
            body::<Decision>(schemas, "The decision"),
        ),
        "/api/v1/pools/{pool}/events": get(
            "The pool whenever it changes, at most once a second, and its decisions as they are made",
            vec![
                pool,
                json!({
                    "name": "Last-Event-ID", "in": "header", "required": false,
                    "description": "Number of the last decision known: those since are told first",
                    "schema": {"type": "integer"},
                }),
            ],
            events(
                "`pool` events, each a Pool; `decision` events, each a DecisionSummary with its \
                 number as id; `caught-up`, whose id is the newest number; `reset` when more was \
                 missed than is told",
            ),
        ),
    });
    if let (Some(paths), Value::Object(more)) =
        (paths.as_object_mut(), lab(schemas, requests, &refusal))
    {
        paths.extend(more);
    }
    paths
}

/// What is asked with a body, and what it leads to.
fn lab(schemas: &mut SchemaGenerator, requests: &mut SchemaGenerator, refusal: &Value) -> Value {
    let id = json!({
        "name": "id", "in": "path", "required": true, "schema": {"type": "integer"},
    });
    let simulation = body::<Simulation>(schemas, "The simulation");
    let operation = |summary: &str, parameters: Vec<Value>, status: &str, answer: Value| {
        json!({
            "summary": summary,
            "parameters": parameters,
            "responses": {status: answer, "default": refusal},
        })
    };
    let with_body = |mut operation: Value, request: Value| {
        operation["requestBody"] = request;
        operation
    };
    let pool = json!({
        "name": "pool", "in": "path", "required": true, "schema": {"type": "string"},
    });
    let ordered = body::<Controls>(schemas, "What is ordered and has not ended");
    let orders = body::<Controls>(requests, "All that is to be ordered");
    let lesson = body::<Lesson>(schemas, "The lesson");
    let sized = body::<Answered>(schemas, "What `preheat size --json` prints");
    let sizing = body::<SizingRequest>(requests, "What is asked");
    let request = body::<SimulationRequest>(requests, "The scenario and who scales");
    let choices = body::<WhatIfChoices>(schemas, "What can be asked");
    let question = body::<WhatIfRequest>(requests, "What is asked");
    // The result of a simulation has no one type; its description names this one.
    schemas.subschema_for::<WhatIfAnswer>();
    json!({
        "/api/v1/pools/{pool}/what-if": {
            "get": operation(
                "What can be asked of a pool's past, and how the pool is configured",
                vec![pool.clone()],
                "200",
                choices,
            ),
            "post": with_body(
                operation(
                    "Replays a pool's past as configured and under alternatives: at most 24 hours, \
                     300,000 requests, 4 alternatives and two minutes of wall time. It is one of the \
                     simulations, and its result a WhatIfAnswer",
                    vec![pool.clone()],
                    "202",
                    simulation.clone(),
                ),
                question,
            ),
        },
        "/api/v1/lab": {"get": operation("The lab's lesson", vec![], "200", lesson)},
        "/api/v1/lab/figures": {"get": operation(
            "Names of those whose past has figures for sizing",
            vec![],
            "200",
            body::<Vec<String>>(schemas, "The names"),
        )},
        "/api/v1/lab/figures/{pool}": {"get": operation(
            "A past in the figures that sizing takes: a pool's last day in the journal, or what \
             `preheat lab --prometheus` read",
            vec![pool.clone()],
            "200",
            body::<PastFigures>(schemas, "The figures"),
        )},
        "/api/v1/pools/{pool}/controls": {
            "get": operation(
                "What operators have ordered of a pool for a while",
                vec![pool.clone()],
                "200",
                ordered.clone(),
            ),
            "put": with_body(
                operation(
                    "Orders this and nothing else; needs the token of `admin.controlTokenFile`",
                    vec![pool],
                    "200",
                    ordered,
                ),
                orders,
            ),
        },
        "/api/v1/sizing": {"post": with_body(
            operation("How many replicas a load needs, and what to configure", vec![], "200", sized),
            sizing,
        )},
        "/api/v1/simulations": {"post": with_body(
            operation(
                "Runs a scenario: at most 24 hours, 300,000 requests, 200 replicas and a minute of \
                 wall time, without trace files",
                vec![],
                "202",
                simulation.clone(),
            ),
            request,
        )},
        "/api/v1/simulations/{id}": {
            "get": operation("How far a simulation is", vec![id.clone()], "200", simulation.clone()),
            "delete": operation("Stops a simulation", vec![id], "200", simulation),
        },
    })
}

fn body<T: JsonSchema>(schemas: &mut SchemaGenerator, what: &str) -> Value {
    let schema = schemas.subschema_for::<T>();
    json!({"description": what, "content": {"application/json": {"schema": schema}}})
}

fn events(what: &str) -> Value {
    json!({"description": what, "content": {"text/event-stream": {"schema": {"type": "string"}}}})
}
