//! Conditions of newer mods: a group or an option that counts only while others are on.

use serde_json::Value;
use std::collections::HashSet;

/// Whether a condition is met when the options of these ids are on. No condition is met, and so is one of an unknown
/// kind: Penumbra drops those too.
pub(super) fn is_met(condition: &Value, on: &HashSet<&str>) -> bool {
    let kind = condition.get("Type").and_then(Value::as_str).unwrap_or_default();
    let is_on = |id: &Value| id.as_str().is_some_and(|id| on.contains(id));
    let options = || condition.get("Options").and_then(Value::as_array).into_iter().flatten();
    match kind {
        "Setting" => condition.get("Setting").is_none_or(is_on),
        "AllSettings" => options().all(is_on),
        "AnySetting" => options().any(is_on),
        "And" => nested(condition).all(|inner| is_met(inner, on)),
        "Or" => nested(condition).any(|inner| is_met(inner, on)),
        "Not" => !nested(condition).all(|inner| is_met(inner, on)),
        "False" => false,
        _ => true,
    }
}

/// The conditions inside one, under whichever name: the name differs between versions.
fn nested(condition: &Value) -> impl Iterator<Item = &Value> {
    let values = condition.as_object().into_iter().flat_map(|object| object.values());
    values
        .flat_map(|value| match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        })
        .filter(|value| value.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_combine() {
        let on = HashSet::from(["a", "b"]);
        let a = json!({"Type": "Setting", "Setting": "a"});
        let c = json!({"Type": "Setting", "Setting": "c"});
        for (condition, met) in [
            (Value::Null, true),
            (json!({"Type": "FromTheFuture"}), true),
            (json!({"Type": "False"}), false),
            (a.clone(), true),
            (c.clone(), false),
            (json!({"Type": "Not", "Condition": c}), true),
            (json!({"Type": "And", "Conditions": [a, c]}), false),
            (json!({"Type": "Or", "Conditions": [a, c]}), true),
            (json!({"Type": "AllSettings", "Options": ["a", "b"]}), true),
            (json!({"Type": "AllSettings", "Options": ["a", "c"]}), false),
            (json!({"Type": "AnySetting", "Options": ["c", "b"]}), true),
            (json!({"Type": "AnySetting", "Options": []}), false),
        ] {
            assert_eq!(is_met(&condition, &on), met, "{condition}");
        }
    }
}
