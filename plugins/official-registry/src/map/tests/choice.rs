//! Tests of choice.
