//! Properties of `json` over arbitrary texts, against `serde_json` as the model of what values mean.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::arbitrary::{cases, object, space, string, tame_value, value};
use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn as_value(json: &Json) -> Value {
    json.deserialize().unwrap()
}

/// Our verdict against `serde_json`'s, which knows none of the stricter rules.
fn agree(text: &[u8]) {
    let theirs = serde_json::from_slice::<&RawValue>(text);
    match Json::parse(text.to_vec()) {
        Ok(ours) => assert_eq!(ours.as_str(), theirs.unwrap().get(), "{text:?}"),
        Err(error) if error.kind.is_syntax() => assert!(theirs.is_err(), "{text:?}: {error}"),
        // Stops at the first offence, grammatical so far.
        Err(error) => assert!(error.offset < text.len(), "{text:?}: {error}"),
    }
}

#[test]
fn every_short_text_is_judged_as_by_serde_json() {
    let alphabet = b"{}[],:\"\\01-.e \n";
    for frame in ["_", "[_]", "{\"a\":_}", "\"_\"", "{_:1}", "\"\\u00_\""] {
        let (before, after) = frame.split_once('_').unwrap();
        let longest = if frame == "_" { 4 } else { 3 };
        for length in 0..=longest {
            for number in 0..alphabet.len().pow(length) {
                let mut text = before.as_bytes().to_vec();
                text.extend(
                    (0..length).map(|place| alphabet[number / alphabet.len().pow(place) % alphabet.len()]),
                );
                text.extend(after.as_bytes());
                agree(&text);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn acceptable_texts_are_accepted_unchanged(text in value(), before in space(), after in space()) {
        let parsed = Json::parse(format!("{before}{text}{after}")).unwrap();
        prop_assert_eq!(parsed.as_str(), text);
    }

    #[test]
    fn damaged_texts_are_judged_as_by_serde_json(
        text in value(),
        place in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..3),
        cut in 0..3_usize,
    ) {
        let mut text = text.into_bytes();
        let start = place.index(text.len());
        let end = text.len().min(start + cut);
        text.splice(start..end, with);
        agree(&text);
    }

    #[test]
    fn a_repeated_name_is_refused(members in object(value()), (name, meant) in string(), nested in any::<bool>()) {
        let before = json(&members).without_member(&meant);
        let once = before.with_member(&meant, &Json::null());
        let twice = once.as_str().strip_suffix('}').unwrap().to_owned() + "," + &name + ":0}";
        let twice = if nested { format!("[{{\"a\":{twice}}}]") } else { twice };
        prop_assert_eq!(Json::parse(twice).unwrap_err().kind, JsonErrorKind::DuplicateMember);
    }

    #[test]
    fn a_new_member_is_one_that_was_not_there(members in object(value()), (_, meant) in string(), new in value()) {
        let (before, new) = (json(&members).without_member(&meant), json(&new));
        let after = before.with_new_member(&meant, &new);
        prop_assert!(Json::parse(after.as_str().to_owned()).is_ok());
        prop_assert_eq!(after.member(&meant), Some(new.clone()));
        prop_assert_eq!(after.members(), before.with_member(&meant, &new).members());
        let picked = after.member(&meant).unwrap();
        prop_assert_eq!(after.without_picked(&meant, &picked).members(), before.members());
        prop_assert_eq!(after.without_picked(&meant, &new).members(), before.members());
        for picked in [&picked, &new] {
            prop_assert_eq!(after.with_picked(&meant, picked, &before), after.with_member(&meant, &before));
        }
        let members = [("a", &new), ("b", &before)];
        let after = before.with_new_object(&meant, members);
        prop_assert_eq!(after, before.with_new_member(&meant, &Json::object(members)));
    }

    #[test]
    fn strings_mean_what_they_mean((written, meant) in string()) {
        prop_assert_eq!(json(&written).string().unwrap().into_owned(), meant.clone());
        prop_assert_eq!(Json::of(&*meant).string().unwrap().into_owned(), meant.clone());
        prop_assert!(json(&written).means(&meant));
        prop_assert!(!json(&written).means(&written[1..written.len() - 1]) || !written.contains('\\'));
        let object = format!("{{{written}:0}}");
        prop_assert!(json(&object).has(&meant));
        let name = Members::of(object.as_bytes()).unwrap().next().unwrap().name;
        prop_assert!(name.is(&meant));
        prop_assert_eq!(name.meant(), meant.clone());
        let longer = meant.clone() + "x";
        let names = ["", longer.as_str(), meant.as_str(), meant.as_str()];
        prop_assert_eq!(name.which(names.into_iter()), Some(if meant.is_empty() { 0 } else { 2 }));
        prop_assert_eq!(name.which([longer.as_str()].into_iter()), None);
    }

    #[test]
    fn parts_are_where_serde_json_sees_them(text in tame_value()) {
        let whole = json(&text);
        let model = as_value(&whole);
        match &model {
            Value::Object(map) => {
                let members = whole.members().unwrap();
                prop_assert_eq!(members.len(), map.len());
                for ((name, value), (model_name, model_value)) in members.iter().zip(map) {
                    prop_assert_eq!(name, model_name);
                    prop_assert_eq!(&as_value(value), model_value);
                    prop_assert_eq!(whole.member(name).unwrap(), value.clone());
                }
            }
            Value::Array(array) => {
                let elements: Vec<_> = whole.elements().unwrap().iter().map(as_value).collect();
                prop_assert_eq!(&elements, array);
            }
            _ => prop_assert!(whole.members().is_none() && whole.elements().is_none()),
        }
        for (pointer, value) in places(&model) {
            prop_assert_eq!(&as_value(&whole.pointer(&pointer).unwrap()), value);
        }
        let texts = places(&model).into_iter().filter_map(|(p, v)| Some((p, v.as_str()?.to_owned())));
        prop_assert_eq!(whole.strings("", 0), texts.clone().collect::<Vec<_>>());
        prop_assert_eq!(whole.strings("", 4), texts.filter(|(_, text)| text.len() >= 4).collect::<Vec<_>>());
    }

    #[test]
    fn changed_members_are_all_that_changes(
        text in object(value()),
        changes in prop::collection::vec((string(), prop::option::of(value()), any::<prop::sample::Index>()), 0..4),
    ) {
        let whole = json(&text);
        let mut expected = whole.members().unwrap();
        // Half of the changes are to members that exist.
        let changes: Vec<_> = changes.into_iter().map(|((_, name), value, place)| {
            let known = expected.get(place.index(8)).map(|(name, _)| name.clone());
            (known.unwrap_or(name), value.map(|value| json(&value)))
        }).collect();
        for (index, (name, value)) in changes.iter().enumerate() {
            if changes[index + 1..].iter().any(|(later, _)| later == name) {
                continue; // the last one counts
            }
            let place = expected.iter().position(|(known, _)| known == name);
            match (place, value) {
                (Some(place), Some(value)) => expected[place].1 = value.clone(),
                (Some(place), None) => drop(expected.remove(place)),
                (None, Some(value)) => expected.push((name.clone(), value.clone())),
                (None, None) => {}
            }
        }
        let borrowed: Vec<_> = changes.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect();
        let changed = whole.with_members(&borrowed);
        prop_assert_eq!(changed.members().unwrap(), expected);
        prop_assert_eq!(Json::parse(changed.bytes().clone()).unwrap(), changed);
    }

    #[test]
    fn untouched_bytes_stay(text in object(value()), (_, name) in string(), new in value()) {
        // Setting a member and setting it back is the same text; so is adding one and removing it.
        let (whole, new) = (json(&text), json(&new));
        for (known, value) in whole.members().unwrap() {
            prop_assert_eq!(whole.with_member(&known, &new).with_member(&known, &value), whole.clone());
        }
        if whole.member(&name).is_none() {
            prop_assert_eq!(whole.without_member(&name), whole.clone());
            prop_assert_eq!(whole.with_member(&name, &new).without_member(&name), whole.clone());
        }
    }

    #[test]
    fn edits_do_what_they_do_to_a_model(
        text in tame_value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6_u8, tame_value()), 1..6),
    ) {
        let whole = json(&text);
        let mut model = as_value(&whole);
        let mut asked = Vec::new();
        for (place, kind, value) in edits {
            let all = places(&model);
            let (pointer, _) = all[place.index(all.len())].clone();
            let edit = match kind {
                0 | 1 => Edit::Set(pointer, json(&value)),
                2 => Edit::SetString(pointer, value),
                3 => Edit::Set(pointer + "/-", json(&value)),
                4 => Edit::Set(pointer + "/new~1", json(&value)),
                _ => Edit::Remove(pointer),
            };
            let possible = edit_model(&mut model, &edit);
            asked.push(edit);
            if !possible {
                prop_assert!(whole.apply(&asked).is_err(), "{:?}", asked);
                asked.pop();
            }
        }
        let edited = whole.apply(&asked).unwrap();
        prop_assert_eq!(Json::parse(edited.bytes().clone()).unwrap(), edited.clone());
        prop_assert_eq!(as_value(&edited).to_string(), model.to_string());
    }

    #[test]
    fn typed_data_keeps_raw_values(text in value()) {
        let whole = json(&text);
        prop_assert_eq!(Json::of(&[&whole]).elements().unwrap(), [whole.clone()]);
        prop_assert_eq!(Json::array([&whole, &whole]).deserialize::<Vec<Json>>().unwrap(), [whole.clone(), whole]);
    }
}

/// Every place in a value, in document order.
fn places(value: &Value) -> Vec<(String, &Value)> {
    let mut found = vec![(String::new(), value)];
    let below = |token: String, value| {
        let token = token.replace('~', "~0").replace('/', "~1");
        places(value).into_iter().map(move |(rest, value)| (format!("/{token}{rest}"), value))
    };
    match value {
        Value::Object(map) => found.extend(map.iter().flat_map(|(name, value)| below(name.clone(), value))),
        Value::Array(array) => {
            found.extend(array.iter().enumerate().flat_map(|(n, value)| below(n.to_string(), value)));
        }
        _ => {}
    }
    found
}

/// False when the edit is impossible; the value is then unchanged.
fn edit_model(value: &mut Value, edit: &Edit) -> bool {
    let (pointer, new) = match edit {
        Edit::Set(pointer, new) => (pointer, Some(as_value(new))),
        Edit::SetString(pointer, text) => (pointer, Some(Value::String(text.clone()))),
        Edit::Remove(pointer) => (pointer, None),
    };
    if let (Some(place), Some(new)) = (value.pointer_mut(pointer), &new) {
        *place = new.clone();
        return true;
    }
    let Some((parent, token)) = pointer.rsplit_once('/') else { return false };
    let token = token.replace("~1", "/").replace("~0", "~");
    match (value.pointer_mut(parent), new) {
        (Some(Value::Object(map)), Some(new)) => map.insert(token, new).is_none(),
        (Some(Value::Object(map)), None) => map.shift_remove(&token).is_some(),
        (Some(Value::Array(array)), Some(new)) if token == "-" => {
            array.push(new);
            true
        }
        (Some(Value::Array(array)), None) => {
            array.remove(token.parse().unwrap());
            true
        }
        _ => false,
    }
}
