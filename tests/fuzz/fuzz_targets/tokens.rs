//! Sealed tokens (cursors, sessions, request states, task ids): only what was sealed opens, for its own purpose and
//! principal and in its time; every changed token is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmgate_core::seal::{Purpose, Scope, Sealer};

const PURPOSES: [Purpose; 4] = [Purpose::Cursor, Purpose::RequestState, Purpose::Session, Purpose::Task];

fuzz_target!(|input: (&str, &str, &[u8], u8, u32, u32, u16, u8)| {
    let (principal, other, payload, purpose, expires, now, at, flip) = input;
    let sealer = Sealer::new([7; 32]);
    let purpose = PURPOSES[usize::from(purpose) % PURPOSES.len()];
    let scope = Scope { purpose, principal };
    let (expires, now) = (u64::from(expires), u64::from(now));
    let token = sealer.seal(scope, expires, payload, [3; 24]).expect("small payloads are sealed");
    assert_eq!(sealer.open(scope, now, &token).ok(), (now <= expires).then(|| payload.to_vec()));
    for wrong in PURPOSES.into_iter().filter(|one| *one != purpose) {
        assert!(sealer.open(Scope { purpose: wrong, principal }, 0, &token).is_err());
    }
    if other != principal {
        assert!(sealer.open(Scope { purpose, principal: other }, 0, &token).is_err());
    }
    // Whatever a client makes of it, or makes up.
    assert!(sealer.open(scope, 0, other).is_err());
    let mut changed = token.into_bytes();
    let at = usize::from(at) % changed.len();
    changed[at] ^= flip;
    if let (true, Ok(changed)) = (flip != 0, String::from_utf8(changed)) {
        assert!(sealer.open(scope, 0, &changed).is_err(), "byte {at}");
    }
});
