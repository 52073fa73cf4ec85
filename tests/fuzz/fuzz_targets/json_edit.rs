//! A value, a pointer and a new value, one a line: whatever is cut or spliced stays acceptable JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmgate_core::json::{Edit, Json};

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default().to_vec();
    let (Ok(value), Ok(pointer), Ok(new)) =
        (Json::parse(next()), String::from_utf8(next()), Json::parse(next()))
    else {
        return;
    };
    let deep = new.bytes().iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > 60;
    let is_same = |edited: &Json| assert_eq!(Json::parse(edited.bytes().clone()).as_ref(), Ok(edited));
    for (name, part) in value.members().unwrap_or_default() {
        is_same(&part);
        assert_eq!(value.member(&name).as_ref(), Some(&part));
        is_same(&value.without_member(&name));
        assert_eq!(value.with_member(&name, &new).with_member(&name, &part), value);
    }
    value.elements().iter().flatten().for_each(is_same);
    for (place, text) in value.strings("", 0) {
        assert_eq!(value.pointer(&place).and_then(|leaf| Some(leaf.string()?.into_owned())), Some(text));
    }
    if !deep {
        is_same(&value.with_members(&[(&pointer, Some(&new)), ("\"", None), ("a", Some(&Json::null()))]));
    }
    for edit in [Edit::Set(pointer.clone(), new), Edit::SetString(pointer.clone(), pointer.clone())] {
        if let Ok(edited) = value.apply(&[edit]) {
            is_same(&edited);
        }
    }
    if let Ok(edited) = value.apply(&[Edit::Remove(pointer)]) {
        is_same(&edited);
    }
});
