//! Plugins as they are in service: real components in the real engine. One binary, because linking wasmtime takes longer
//! than all of its tests.

#[cfg(test)]
mod bundled;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod features;
#[cfg(test)]
mod flat;
#[cfg(test)]
#[path = "../../guests.rs"]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod load;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod preset;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod raw_hostile;
#[cfg(test)]
mod registries;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod sources_hostile;
#[cfg(test)]
mod support;
