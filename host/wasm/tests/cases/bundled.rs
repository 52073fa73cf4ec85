//! The bundled plugins that are off until they are configured, as components: that each loads with the grants it asks for,
//! and does in a fresh instance what its own tests say it does.

use crate::support::{engine, exchange, settings};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, ItemChange, ListItem, Operation, Stage};
use wasmgate_wasm::{Loaded, Plugin, Settings, builtin};

async fn loaded(name: &str, settings: Settings) -> Loaded {
    Plugin::load(engine(), name, builtin(name).unwrap(), settings).await.unwrap()
}

#[tokio::test]
async fn tool_filter_hides_and_patches_items() {
    let config = r#"{"deny":["*delete*"],"rename":{"get":"fetch"}}"#;
    let loaded = loaded("tool-filter", settings(config)).await;
    let exchange = Exchange::new(Operation { event: "tools/list".into(), ..exchange().operation });
    let item = |name: &str| ListItem {
        name: name.into(),
        server: ServerName::new("files").unwrap(),
        item: Json::parse(format!(r#"{{"name":"{name}"}}"#)).unwrap(),
    };
    let [stage] = loaded.interceptors.as_slice() else { panic!("one role") };
    let items = [item("get"), item("delete_all"), item("put")];
    let changes = stage.filter(&exchange, &items).await.unwrap();
    let patch = Json::parse(r#"{"name":"fetch"}"#.to_owned()).unwrap();
    assert_eq!(changes, [(0, ItemChange::Patch(patch)), (1, ItemChange::Hide)]);
}
